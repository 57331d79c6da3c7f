import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

import lowerbound as lb
import lowerbound.runs.run
from lowerbound.foundation.errors import ConfigError, DataError, Interrupted, LowerboundError, RunError, UsageError
from lowerbound.foundation.storage import load_tensors
from lowerbound.runs.experiment import merge, resolve
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.repeats import over_seeds, train_seeds
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import Callbacks, train
from lowerbound.runs.run_log import read_log
from lowerbound.training.state import machine

SHORT = {"training": {"num_epochs": 3, "min_steps": 0}, "evaluation": {"num_draws": 2}}

LOGISTIC = {"model": {"likelihood": "discretized-logistic"}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train("digits", recipe="dense", out=tmp_path_factory.mktemp("runs") / "dense", settings=SHORT)


def weights(path):
    return load_tensors(path / "model.safetensors")[0]


def assert_same_weights(first, second):
    first, second = weights(first), weights(second)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_a_run_directory_holds_what_is_promised(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        "config.toml",
        "model.safetensors",
        "calibration.safetensors",
        "metrics.jsonl",
        "results.json",
        "results.safetensors",
        "report.html",
        "figures",
        "checkpoints",
    }
    config = tomllib.loads((finished.path / "config.toml").read_text())
    assert config["training"]["num_epochs"] == 3
    assert config["data"]["source"] == "digits"
    assert len(config["run"]["data_checksum"]) == 64


def test_a_likelihood_on_levels_takes_their_number_from_the_data_unless_it_is_said(tmp_path):
    run = train("digits", recipe="dense", out=tmp_path / "run", settings=merge(SHORT, LOGISTIC))
    assert run.model.vae.config.likelihood_options == {"num_levels": 17}
    wrong = merge(SHORT, {"model": {**LOGISTIC["model"], "likelihood_options": {"num_levels": 256}}})
    with pytest.raises(DataError, match="the data have 17 levels, likelihood 'discretized-logistic' needs 256"):
        train("digits", recipe="dense", out=tmp_path / "wrong", settings=wrong)


def test_the_returned_model_is_the_one_on_disk(finished):
    x = np.random.default_rng(0).integers(0, 17, (4, 8, 8))
    loaded = lb.load(finished.path)
    assert isinstance(loaded, lb.TrainedModel) and loaded.schema == finished.model.schema
    torch.testing.assert_close(loaded.encode(x).mean, finished.model.encode(x).mean)


def test_the_reported_elbo_is_that_of_the_saved_model(finished):
    few = {"evaluation": {"importance_draws": 100, "num_gaps": 10}}
    again = reevaluate(finished.path, few)
    assert again.results.score("elbo") == finished.results.score("elbo")


def test_an_interrupted_annealing_is_continued_and_leaves_nothing_behind(finished, tmp_path):
    settings = {
        "evaluation": {
            "num_annealed": 20, "num_simulated": 2, "importance_draws": 20, "num_bounded": 2, "num_gaps": 2,
            "annealing": {"num_temperatures": 120, "num_leapfrog": 2, "num_chains": 32},
        }
    }  # fmt: skip
    for name in ("whole", "interrupted"):
        shutil.copytree(finished.path, tmp_path / name)

    def interrupt(stage, done, total):
        if stage == "annealing test examples" and done > 18 * 120:
            raise KeyboardInterrupt

    whole = reevaluate(tmp_path / "whole", settings)
    with pytest.raises(Interrupted, match="evaluate again to continue"):
        reevaluate(tmp_path / "interrupted", settings, callbacks=Callbacks(stage=interrupt))
    kept = sorted(path.name for path in (tmp_path / "interrupted" / "annealing").iterdir())
    assert kept == ["images-from-0.safetensors", "images-from-16.safetensors"]
    continued = reevaluate(tmp_path / "interrupted", settings)
    assert continued.results.score("annealed-evidence") == whole.results.score("annealed-evidence")
    for path in (tmp_path / "whole", tmp_path / "interrupted"):
        assert not (path / "annealing").exists()


def test_an_output_directory_that_is_not_empty_is_refused_and_left_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    with pytest.raises(UsageError, match=r"is not empty; choose another directory, or resume"):
        train("digits", out=finished.path)
    assert before == {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}


def test_a_file_where_the_directory_should_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError):
        train("digits", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_refused_experiment_leaves_nothing_behind(tmp_path):
    with pytest.raises(LowerboundError):
        train("no-such-source", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"model": {"latent_dim": 3}}, "model.latent_dim"),
        ({"training": {"seed": 5}}, "training.seed"),
        ({"data": {"source": "mnist"}}, "data.source"),
    ],
)
def test_resuming_refuses_other_settings_and_names_the_first(finished, settings, key):
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        resume(finished.path, settings=settings)


def test_resuming_refuses_another_recipe_and_fewer_epochs(finished):
    with pytest.raises(ConfigError, match="recipe 'dense'"):
        resume(finished.path, recipe="conv")
    with pytest.raises(ConfigError, match="can only have more"):
        resume(finished.path, settings={"training": {"num_epochs": 1}})


def test_what_is_no_run_cannot_be_resumed_or_evaluated(tmp_path):
    for call in (resume, reevaluate):
        with pytest.raises(UsageError, match="is not a run directory"):
            call(tmp_path)


def test_a_run_refuses_other_data_than_it_was_trained_on(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    run = train(str(tmp_path / "images.npy"), out=tmp_path / "run", settings=SHORT)
    np.save(tmp_path / "images.npy", images + np.uint8(1))
    with pytest.raises(RunError, match="checksum differs"):
        reevaluate(run.path)


def test_an_interrupted_run_says_how_to_continue_and_continues_identically(finished, tmp_path):
    countdown = iter([False] * 50 + [True])
    with pytest.raises(Interrupted, match=r"Resume the run in .*run to continue"):
        train(
            "digits",
            recipe="dense",
            out=tmp_path / "run",
            settings=SHORT,
            callbacks=Callbacks(should_stop=lambda: next(countdown)),
        )
    assert not (tmp_path / "run" / "model.safetensors").exists()
    resume(tmp_path / "run")
    assert_same_weights(finished.path, tmp_path / "run")


def test_a_run_killed_twice_with_sigkill_ends_with_the_same_weights_and_metrics(finished, tmp_path):
    path = tmp_path / "run"
    options = "--epochs 3 --set evaluation.num_draws=2 --set training.checkpoint_every=7 --set training.log_every=1"
    kill_after(12, path, ["digits", "--recipe", "dense", *options.split()])
    kill_after(70, path, ["--resume"])
    # A record cut short by the crash, and a newest checkpoint that the crash damaged.
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    newest = max((path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    messages = []
    resume(path, callbacks=Callbacks(message=messages.append))
    assert any("skipped a checkpoint" in message for message in messages)
    assert_same_weights(finished.path, path)
    records = read_log(path)
    assert [record["step"] for record in records] == list(range(1, 121))
    expected = [r["validation"] for r in read_log(finished.path) if r["validation"]]
    assert [record["validation"] for record in records if record["validation"]] == expected


def kill_after(step, path, words):
    """Start training in a process of its own and kill it, without mercy, once `step` is in its log."""
    # One thread in both: bit-identity holds for an equal number of threads.
    command = [sys.executable, "-m", "lowerbound", "train", *words, "--out", str(path), "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while True:
        records = read_log(path)
        if records and records[-1]["step"] >= step:
            break
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_the_machine_is_recorded_and_a_change_of_it_is_said(finished, monkeypatch):
    messages = []
    threads = torch.get_num_threads()
    # Said and not made so: two threads on a busy machine would take a minute for this.
    monkeypatch.setattr(lowerbound.runs.resuming, "machine", lambda device: machine(device) | {"threads": threads + 1})
    resume(finished.path, settings={"training": {"num_epochs": 4}}, callbacks=Callbacks(message=messages.append))
    assert any("not bit-identical" in message and f"threads was {threads}" in message for message in messages)


def test_over_several_seeds_a_score_is_the_mean_with_the_error_over_seeds(tmp_path):
    settings = {"training": {"num_epochs": 1, "min_steps": 0}, "evaluation": {"num_draws": 1}}
    runs = train_seeds(3, resolve("dense", settings), tmp_path)
    values = np.array([run.results.score("elbo").value for run in runs])
    assert len(set(values)) == 3
    summary = next(score for score in over_seeds(runs) if (score.name, score.split) == ("elbo", "test"))
    assert summary.value == pytest.approx(values.mean())
    assert summary.standard_error == pytest.approx(values.std(ddof=1) / 3**0.5)
    # Killed while the second was evaluated: the first is kept, the second goes on, the third is trained.
    (tmp_path / "seed-1" / "report.html").unlink()
    shutil.rmtree(tmp_path / "seed-2")
    before = (tmp_path / "seed-0" / "report.html").stat().st_mtime_ns
    again = train_seeds(3, resolve("dense", settings), tmp_path, settings=settings, is_resumed=True)
    assert [run.results.score("elbo").value for run in again] == values.tolist()
    assert (tmp_path / "seed-0" / "report.html").stat().st_mtime_ns == before


def test_a_score_that_one_of_several_seeds_lacks_has_no_mean_over_them(finished):
    results = finished.results
    evidence = results.score("grey-evidence")
    unsettled = replace(evidence, name="grey-evidence-not-converged", num_not_converged=2)
    others = tuple(score for score in results.scores if "evidence" not in score.name)
    other = replace(finished, results=replace(results, scores=(*others, unsettled)))
    names = {score.name for score in over_seeds([finished, other])}
    assert names == {score.name for score in others}
    both = next(score for score in over_seeds([finished, finished]) if score.name == "grey-evidence")
    assert both.discretisation_error == evidence.discretisation_error


def test_several_seeds_go_on_with_what_was_stopped_and_keep_what_is_finished(tmp_path):
    settings = merge(SHORT, {"training": {"num_epochs": 2}, "model": {"hidden": [8]}})
    experiment = resolve("dense", settings)
    whole = train_seeds(2, experiment, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole" / "seed-0", tmp_path / "stopped" / "seed-0")
    kept = (tmp_path / "stopped" / "seed-0" / "metrics.jsonl").stat().st_mtime_ns
    resumed = train_seeds(2, experiment, tmp_path / "stopped", settings=settings, is_resumed=True)
    assert (tmp_path / "stopped" / "seed-0" / "metrics.jsonl").stat().st_mtime_ns == kept
    for first, second in zip(whole, resumed, strict=True):
        assert_same_weights(first.path, second.path)
        assert first.results.scores == second.results.scores
    # Killed between its results and its report: it is not finished.
    (tmp_path / "stopped" / "seed-1" / "report.html").unlink()
    train_seeds(2, experiment, tmp_path / "stopped", settings=settings, is_resumed=True)
    assert (tmp_path / "stopped" / "seed-1" / "report.html").is_file()
    assert_same_weights(tmp_path / "whole" / "seed-1", tmp_path / "stopped" / "seed-1")


def test_results_are_json_that_states_its_version(finished):
    content = json.loads((finished.path / "results.json").read_text())
    assert content["format_version"] == 3
    assert {"name", "value", "standard_error", "unit", "split", "convention"} <= set(content["scores"][0])
