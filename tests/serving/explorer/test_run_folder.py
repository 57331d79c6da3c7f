"""Runs are found where they lie, and said to be as far as they are."""

import os
import shutil

import pytest

from explorer_runs import copied, trained
from lowerbound.data.sources import load as load_data
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.text_files import write_toml
from lowerbound.runs.experiment import resolve
from lowerbound.runs.provenance import config_of
from lowerbound.serving.explorer.run_folder import RunFolder, is_training


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory, "digits")


def listed(folder):
    return {found.id: (found.title, found.state) for found in folder.runs()}


def test_a_run_is_a_folder_of_one_run_and_is_called_by_its_folder(run):
    assert listed(RunFolder(run)) == {"digits": ("digits", "finished")}


def test_a_run_is_called_by_its_folder_from_within_it_too(run, monkeypatch):
    monkeypatch.chdir(run)
    assert [found.title for found in RunFolder(run.relative_to(run)).runs()] == ["digits"]


def test_runs_lie_in_the_folder_or_one_level_deeper(run, tmp_path):
    for place in ("b", "seeds/seed-0", "seeds/seed-1", "far/too/deep", ".hidden"):
        copied(run, tmp_path / place)
    assert listed(RunFolder(tmp_path)) == {
        "b": ("b", "finished"),
        "seeds:seed-0": ("seeds/seed-0", "finished"),
        "seeds:seed-1": ("seeds/seed-1", "finished"),
    }


def test_folders_within_a_run_are_its_own(run, tmp_path):
    copied(run, tmp_path / "a")
    copied(run, tmp_path / "a" / "copy")
    assert list(listed(RunFolder(tmp_path))) == ["a"]


def test_no_two_runs_share_an_id_whatever_they_are_called(run, tmp_path):
    copied(run, tmp_path / "a" / "b")
    copied(run, tmp_path / "a:b")
    folder = RunFolder(tmp_path)
    assert {found.title for found in folder.runs()} == {"a/b", "a:b"}
    assert {folder.find(found.id) for found in folder.runs()} == set(folder.runs())


def test_a_run_without_a_model_is_in_training_and_its_end_is_noticed(run, tmp_path):
    path = copied(run, tmp_path / "a")
    model = (path / "model.safetensors").rename(tmp_path / "model")
    folder = RunFolder(tmp_path)
    assert folder.find("a").state == "training"
    model.rename(path / "model.safetensors")
    assert folder.find("a").state == "finished"


def test_new_runs_are_noticed_and_those_that_are_gone(run, tmp_path):
    copied(run, tmp_path / "a")
    folder = RunFolder(tmp_path)
    assert folder.find("b") is None
    copied(run, tmp_path / "b")
    assert folder.find("b").title == "b"
    shutil.rmtree(tmp_path / "a")
    assert folder.find("a") is None
    assert list(listed(folder)) == ["b"]


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.toml", b"format_version = [", "config.toml is not valid TOML"),
        ("config.toml", b"title = 'of another program'", "has no format version"),
        ("config.toml", b"format_version = 3", "config.toml is damaged or was edited"),
        ("config.toml", b"format_version = 99", "install a newer lowerbound"),
        ("model.safetensors", b"", "model.safetensors is damaged"),
        ("model.safetensors", b"\xff\xfe", "model.safetensors is damaged"),
    ],
)
def test_a_broken_run_says_why_and_not_where(run, tmp_path, file, content, reason):
    path = copied(run, tmp_path / "a")
    (path / file).write_bytes(content)
    found = RunFolder(tmp_path).find("a")
    assert found.state == "broken"
    assert reason in found.reason
    assert str(tmp_path) not in found.reason
    assert "\n" not in found.reason


def test_a_broken_run_that_is_mended_is_finished(run, tmp_path):
    path = copied(run, tmp_path / "a")
    (path / "model.safetensors").write_bytes(b"")
    folder = RunFolder(tmp_path)
    assert folder.find("a").state == "broken"
    shutil.copy(run / "model.safetensors", path / "model.safetensors")
    assert folder.find("a").state == "finished"


def test_what_was_found_when_a_run_was_opened_is_remembered_until_its_files_change(run, tmp_path):
    path = copied(run, tmp_path / "a")
    folder = RunFolder(tmp_path)
    folder.mark_broken(path, "its weights are none")
    assert folder.find("a").reason == "its weights are none"
    os.utime(path / "model.safetensors", (1, 1))
    assert folder.find("a").state == "finished"


def test_a_log_far_newer_than_its_model_is_that_of_a_training(run, tmp_path):
    path = copied(run, tmp_path / "a")
    written = (path / "model.safetensors").stat().st_mtime
    os.utime(path / "metrics.jsonl", (written + 10, written + 10))
    assert not is_training(path)  # a copy of a run has files of slightly different dates
    os.utime(path / "metrics.jsonl", (written + 100, written + 100))
    assert is_training(path)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_what_holds_no_run_is_refused(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(UsageError, match=r"a folder of runs|contains no run"):
        RunFolder(tmp_path / "a")


def test_the_split_that_training_monitored_is_listed(tmp_path):
    for validation in ("test", "held-out"):
        settings = {"data": {"source": "digits", "validation": validation}}
        experiment = resolve("dense", settings)
        write_toml(tmp_path / validation / "config.toml", config_of(experiment, load_data(experiment.data), ""))
    listed = {entry.id: entry.monitored for entry in RunFolder(tmp_path).runs()}
    assert listed == {"test": "test", "held-out": "validation"}
