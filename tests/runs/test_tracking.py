"""Records of training go to trackers and functions; whatever happens to them there, training goes on."""

import json
from dataclasses import asdict, replace

import pytest

import lowerbound as lb
from command_line import SMALL, in_process
from digits_runs import LOGGED, assert_same_weights
from lowerbound.foundation.errors import Interrupted, RunError, UnknownName, UsageError
from lowerbound.foundation.progress import MeanTerms, Progress
from lowerbound.runs import tracking as module
from lowerbound.runs.run import Callbacks
from lowerbound.runs.run_log import read_log
from lowerbound.runs.trackers import TRACKERS, Tracker
from lowerbound.runs.tracking import read_trackers, sinks_of, values_of, write_trackers
from progress_records import record


class Recorder:
    """A tracker that keeps everything in a list, and can be told to fail."""

    def __init__(self, fails_at=""):
        self.fails_at, self.runs, self.events = fails_at, [], []

    def open(self, run):
        self._check("open")
        self.runs.append(run)
        self.id = run.id or f"id-{len(self.runs)}"
        return self

    def log(self, step, values):
        if step > 10:
            self._check("log")
        self.events.append((step, dict(values)))

    def close(self, ending):
        self.events.append(ending)
        self._check("close")

    def _check(self, action):
        if action == self.fails_at:
            raise OSError(f"no network at {action}\nand more")


@pytest.fixture
def recorder(monkeypatch):
    """A function that puts a recorder in the place of W&B."""

    def replace(fails_at=""):
        found = Recorder(fails_at)
        monkeypatch.setitem(TRACKERS, "wandb", Tracker("json", found.open))
        return found

    return replace


@pytest.fixture(autouse=True)
def no_report(without_figures):
    """Reports without figures."""


def trained(path, **options):
    heard = []
    run = lb.train(
        "digits", recipe="dense", settings=LOGGED, out=path, callbacks=Callbacks(message=heard.append), **options
    )
    return run, heard


def numbers(record, prefix=""):
    """The numbers in a line of metrics.jsonl by the path of their keys: written apart from the code that is tested."""
    for key, value in record.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{prefix}{key}/")
        elif value is not None:
            yield f"{prefix}{key}", value


def test_a_tracker_receives_every_record_under_the_names_of_metrics_jsonl(tmp_path, recorder):
    found = recorder()
    run, _ = trained(tmp_path / "run", log="wandb")
    *sent, ending = found.events
    axis = ("step", "num_steps", "num_epochs")
    logged = [dict(numbers(record)) for record in read_log(run.path)]
    assert sent == [
        (record["step"], {name: value for name, value in record.items() if name not in axis}) for record in logged
    ]
    assert {"train/elbo", "train/rate", "validation/elbo", "learning_rate", "epoch"} <= set(sent[-1][1])
    assert ending == "finished"
    (opened,) = found.runs
    assert (opened.id, opened.first_step) == ("", 1)
    assert opened.flat_settings["training.num_epochs"] == 3 and opened.flat_settings["model.hidden"] == (16,)
    assert read_trackers(run.path) == {"wandb": "id-1"}


def test_functions_are_sinks_too_and_several_can_be_given(tmp_path, recorder):
    found, records = recorder(), []
    run, _ = trained(tmp_path / "run", log=["wandb", records.append])
    assert [json.loads(json.dumps(asdict(record))) for record in records] == read_log(run.path)
    assert len(found.events) == len(records) + 1


@pytest.mark.parametrize("action", ["open", "log", "close"])
def test_a_tracker_that_fails_is_reported_once_and_training_is_that_without_it(
    tmp_path, recorder, finished_plain, action
):
    recorder(action)
    run, heard = trained(tmp_path / "run", log="wandb")
    warnings = [line for line in heard if "wandb" in line]
    assert warnings == [
        f"not logged any more: wandb (OSError: no network at {action} and more); training continues, and "
        "metrics.jsonl has all records"
    ]
    assert_same_weights(run.path, finished_plain)
    assert len(read_log(run.path)) == len(read_log(finished_plain))


@pytest.fixture(scope="module")
def finished_plain(tmp_path_factory):
    """The same run without a tracker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lowerbound.reporting.report.plots_for", lambda results: {})
        return lb.train("digits", recipe="dense", settings=LOGGED, out=tmp_path_factory.mktemp("plain") / "run").path


def test_a_function_that_fails_is_reported_once_and_the_others_go_on(tmp_path):
    records = []

    def broken(record):
        raise ValueError("cannot")

    _, heard = trained(tmp_path / "run", log=[broken, records.append])
    assert len([line for line in heard if "broken (ValueError: cannot)" in line]) == 1
    assert len(records) > 5


def test_a_resumed_run_continues_its_tracker_after_the_checkpoint(tmp_path, recorder):
    found = recorder()
    steps = []
    stopping = Callbacks(progress=lambda record: steps.append(record.step), should_stop=lambda: len(steps) > 4)
    with pytest.raises(Interrupted):
        lb.train("digits", recipe="dense", settings=LOGGED, out=tmp_path / "run", log="wandb", callbacks=stopping)
    assert found.events[-1] == "interrupted"
    lb.resume(tmp_path / "run")
    _, second = found.runs
    assert second.id == "id-1"
    assert second.first_step > 1
    sent = [event[0] for event in found.events if isinstance(event, tuple)]
    assert sent == sorted(set(sent)) == [record["step"] for record in read_log(tmp_path / "run")]
    before = len(found.runs)
    lb.resume(tmp_path / "run", settings={"training": {"num_epochs": 4}}, log="none")
    assert len(found.runs) == before
    lb.resume(tmp_path / "run", settings={"training": {"num_epochs": 5}})
    assert found.runs[-1].id == "id-1"  # although the run's own id has changed


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[:-9], "not valid JSON"),
        (lambda text: text.replace("id-1", "id-2"), "checksum does not match"),
        (lambda text: text.replace('"trackers"', '"tracker"'), "trackers: is missing"),
        (lambda text: text.replace('"format_version": 3', '"format_version": 99'), "format version 99"),
    ],
)
def test_a_damaged_file_of_ids_is_refused_in_one_line(tmp_path, damage, reason):
    write_trackers(tmp_path, {"wandb": "id-1"})
    assert read_trackers(tmp_path) == {"wandb": "id-1"}
    path = tmp_path / module.STORED
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunError, match=reason) as refused:
        read_trackers(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_file_of_ids_of_another_run_does_not_stop_training(tmp_path, recorder, finished_plain):
    found, heard = recorder(), []
    run = lb.load_run(finished_plain).save(tmp_path / "run")
    write_trackers(tmp_path, {"wandb": "id-of-another"})  # outside of a run: without its id
    (tmp_path / module.STORED).rename(run.path / module.STORED)
    lb.resume(run, settings={"training": {"num_epochs": 4}}, log="wandb", callbacks=Callbacks(message=heard.append))
    assert [line for line in heard if line.startswith("the trackers' runs are not continued: ")]
    assert found.runs[0].id == ""


def test_what_is_not_a_tracker_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match=r"'wandbb'.*wandb"):
        trained(tmp_path / "run", log="wandbb")
    with pytest.raises(UsageError, match="log takes tensorboard, wandb, mlflow, or a function of one record, got 3"):
        trained(tmp_path / "run", log=[3])
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    for name, tracker in TRACKERS.items():
        with pytest.raises(UsageError, match=f"pip install {tracker.package}"):
            trained(tmp_path / "run", log=name)
    assert not (tmp_path / "run").exists()


def test_the_packages_of_trackers_are_their_names():
    assert {name: tracker.package for name, tracker in TRACKERS.items()} == {name: name for name in TRACKERS}
    assert sinks_of(None) is None and sinks_of("none") == () and sinks_of([print, print]) == (print,)


def test_the_command_logs_too(tmp_path, recorder, capsys):
    found = recorder()
    words = ["train", "digits", "--recipe", "dense", "--epochs", 1, *SMALL, "--out", tmp_path / "run"]
    in_process(capsys, *words, "--log", "wandb")
    assert found.events[-1] == "finished"
    assert "'wandbb'" in in_process(capsys, *words, "--log", "wandbb", expect=2).err


def test_penalties_have_names_and_what_is_the_axis_or_unknown_has_none():
    terms = MeanTerms(objective=-1.0, elbo=-2.0, rate=0.5, distortion=1.5, penalties={"mmd": 0.1})
    values = values_of(replace(Progress(**record(3)), train=terms))
    assert values["train/penalties/mmd"] == 0.1
    assert not {"step", "validation", "num_epochs"} & set(values)
