"""Files of a run are bound together: what is swapped, cut or edited is refused, whatever reads it."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from lowerbound.data.files import read
from lowerbound.evaluation.results import read_results, read_scores
from lowerbound.foundation import run_identity
from lowerbound.foundation.errors import DataError, LowerboundError, RunError, UsageError
from lowerbound.foundation.run_identity import CONFIG, check_mark, identity_of, mark_of, read_config, run_id, sealed
from lowerbound.foundation.text_files import read_toml, write_toml
from lowerbound.inference.comparing import compare
from lowerbound.runs.experiment import resolve
from lowerbound.runs.preparation import prepare
from lowerbound.runs.reevaluation import reevaluate, rewrite_report
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import train
from lowerbound.runs.run_log import LOG, read_log
from lowerbound.runs.trained_model import load
from lowerbound.training.checkpoint import load_checkpoint, model_checksum, save_model

SETTINGS = {
    "model": {"hidden": [8]},
    "training": {"num_epochs": 2, "min_steps": 0},
    "evaluation": {"num_draws": 2, "num_exact": 2},
}


def trained(path, seed):
    return train("digits", recipe="dense", out=path, seed=seed, settings=SETTINGS).path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return trained(folder / "a", 1), trained(folder / "b", 2)


@pytest.fixture
def mixed(runs, tmp_path):
    """A copy of the first run, and what puts files of the second into it."""
    copy = tmp_path / "a"
    shutil.copytree(runs[0], copy)

    def swap(*names):
        for name in names:
            shutil.copy(runs[1] / name, copy / name)
        return copy

    return swap


def newest(run):
    return f"checkpoints/{sorted(path.name for path in (run / 'checkpoints').iterdir())[-1]}"


def test_ids_follow_settings_and_data_and_nothing_else():
    prepared = prepare(resolve("dense", SETTINGS))
    experiment, splits = prepared.experiment, prepared.splits
    settings = experiment.settings()
    same = replace(experiment, data=replace(experiment.data, data_dir="/elsewhere")).settings()
    other = replace(experiment, training=replace(experiment.training, seed=5)).settings()
    assert run_id(settings, splits.checksum) == run_id(same, splits.checksum)
    assert run_id(settings, splits.checksum) != run_id(other, splits.checksum)
    assert run_id(settings, splits.checksum) != run_id(settings, "other data")


def test_a_model_of_another_run_is_refused(mixed):
    path = mixed("model.safetensors")
    for door in (load, read_results, read_scores):
        with pytest.raises(RunError, match=r"model\.safetensors"):
            door(path)


def test_the_file_that_is_to_blame_is_named(mixed):
    path = mixed("model.safetensors")
    for door in (rewrite_report, read_results, lambda path: reevaluate(path)):
        with pytest.raises(RunError, match=r"model\.safetensors belongs to another run"):
            door(path)


def test_an_evaluation_looks_at_the_log_before_it_begins(mixed, monkeypatch):
    path = mixed(LOG)
    monkeypatch.setattr(
        "lowerbound.runs.reevaluation.evaluate_full", lambda *arguments, **options: pytest.fail("it has begun")
    )
    with pytest.raises(RunError, match="the record belongs to another run"):
        reevaluate(path)


def test_what_lies_in_a_run_is_told_from_data(mixed):
    path = mixed()
    with pytest.raises(DataError, match=r"is a run directory, not data"):
        read(path)
    (path / CONFIG).unlink()
    with pytest.raises(DataError, match=r"is a run directory \(config.toml is missing\), not data"):
        read(path)


def test_results_of_another_run_are_refused(mixed, runs):
    path = mixed("results.json", "results.safetensors")
    for door in (read_results, read_scores, rewrite_report, lambda path: compare([runs[0], path])):
        with pytest.raises(RunError, match=r"results\.safetensors belongs to another run"):
            door(path)


def test_thresholds_of_another_run_are_refused(mixed):
    with pytest.raises(RunError, match=r"calibration\.safetensors belongs to another run"):
        load(mixed("calibration.safetensors")).calibration()


def test_what_was_measured_with_another_model_of_the_same_run_is_refused(mixed):
    path = mixed()
    model = load(path)
    with torch.no_grad():
        next(model.vae.parameters()).add_(1)
    save_model(path / "model.safetensors", model.vae, model.schema, {})
    for door in (read_results, lambda path: load(path).calibration()):
        with pytest.raises(RunError, match=r"was measured with another model than .*evaluate the run again"):
            door(path)


def test_a_checkpoint_of_another_run_is_passed_over_and_alone_refused(mixed, runs):
    path = mixed(newest(runs[1]))
    found = load_checkpoint(path / "checkpoints")
    assert found.state["step"] < load_checkpoint(runs[0] / "checkpoints").state["step"]
    assert "belongs to another run" in found.damaged[0]
    shutil.copytree(runs[1] / "checkpoints", path / "checkpoints", dirs_exist_ok=True)
    with pytest.raises(RunError, match=r"all checkpoints are damaged: .* belongs to another run"):
        resume(path)


def test_a_log_of_another_run_is_refused(mixed):
    with pytest.raises(RunError, match="the record belongs to another run"):
        read_log(mixed(LOG))


def test_a_configuration_of_another_run_is_refused_with_the_rest(mixed):
    path = mixed(CONFIG)
    for door in (load, read_results, read_log, resume):
        with pytest.raises(RunError, match="belongs to another run"):
            door(path)


def test_a_configuration_cut_anywhere_is_refused(runs, tmp_path):
    lines = (runs[0] / CONFIG).read_text().splitlines(keepends=True)
    for number in range(len(lines)):
        (tmp_path / CONFIG).write_text("".join(lines[:number]))
        with pytest.raises(LowerboundError, match=r"config\.toml"):
            read_config(tmp_path)


def test_an_edited_configuration_is_refused_and_comments_and_spacing_are_free(mixed):
    path = mixed() / CONFIG
    text = path.read_text()
    path.write_text("# my best run\n" + text.replace("\nseed = 1", "\n\nseed  =  1"))
    assert read_config(path.parent)["training"]["seed"] == 1
    path.write_text(text.replace("seed = 1", "seed = 3"))
    with pytest.raises(RunError, match=r"config\.toml is damaged or was edited"):
        resume(path.parent)


def test_more_epochs_make_another_id_and_the_run_stays_whole(mixed):
    path = mixed()
    before = identity_of(path)
    resume(path, settings={"training": {"num_epochs": 3}})
    after = identity_of(path)
    assert after.id != before.id
    assert after.accepts(before.id)
    assert after.id == trained_id(path)
    assert [record["epoch"] for record in read_results(path).history] == [1, 2, 3]
    assert load(path).calibration()


def trained_id(path):
    """The id that a run with these settings has from the start."""
    content = read_toml(path / CONFIG)
    settings = {name: content[name] for name in ("data", "model", "objective", "training", "evaluation")}
    return run_id(settings, content["run"]["data_checksum"])


def test_a_run_killed_before_its_first_checkpoint_starts_again_with_the_same_command(runs, tmp_path):
    path = tmp_path / "killed"
    path.mkdir()
    shutil.copy(runs[0] / CONFIG, path)
    (path / LOG).write_text((runs[0] / LOG).read_text()[:50])
    for again in (lambda: trained(path, 1), lambda: resume(path).path):
        assert model_checksum(again()) == model_checksum(runs[0])
        for name in ("model.safetensors", "results.json", "results.safetensors", "calibration.safetensors"):
            (path / name).unlink()
        shutil.rmtree(path / "checkpoints")
        assert not (path / "figures").exists()  # reports are without figures here
        (path / "report.html").unlink()
    with pytest.raises(UsageError, match="contains the beginning of a run with other settings"):
        trained(path, 2)
    assert read_toml(path / CONFIG) == read_toml(runs[0] / CONFIG)


def test_a_directory_with_a_configuration_of_somebody_else_is_not_taken(tmp_path):
    write_toml(tmp_path / CONFIG, {"title": "my site"})
    with pytest.raises(UsageError, match="is not empty"):
        trained(tmp_path, 1)
    write_toml(tmp_path / CONFIG, sealed({"run": {}}))
    with pytest.raises(UsageError, match="is not empty"):
        trained(tmp_path, 1)
    assert json.dumps(read_toml(tmp_path / CONFIG))


def test_a_log_that_lacks_a_record_before_the_checkpoint_is_not_continued(mixed):
    path = mixed()
    lines = (path / LOG).read_bytes().splitlines(keepends=True)
    (path / LOG).write_bytes(b"".join(lines[1:]))
    with pytest.raises(RunError, match=r"metrics\.jsonl lacks the record of step \d+; restore it"):
        resume(path)


def test_a_mark_that_is_none_is_damage(runs):
    for mark in (0.5, None, ["run"]):
        with pytest.raises(RunError, match=r"model\.safetensors is damaged \(its run id and checksum are"):
            check_mark(runs[0], "model.safetensors", mark)


def test_the_configuration_is_parsed_again_only_when_it_changes(mixed, monkeypatch):
    path, parsings = mixed(), []
    read = run_identity.read_config
    monkeypatch.setattr(run_identity, "read_config", lambda run: parsings.append(run) or read(run))
    first = identity_of(path)
    assert [identity_of(path) for _ in range(20)] == [first] * 20
    assert mark_of(path) == {"run": first.id} and len(parsings) == 1
    content = read(path)
    write_toml(path / CONFIG, sealed({**content, "run": {**content["run"], "id": "0123456789abcdef"}}))
    assert identity_of(path).id == "0123456789abcdef" and len(parsings) == 2
    (path / CONFIG).write_text("damaged")
    with pytest.raises(RunError):
        identity_of(path)
