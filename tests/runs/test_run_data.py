"""A run finds its own data again by their checksum, wherever the command is given, and takes no other file for them."""

import shutil

import numpy as np
import pytest

import lowerbound as lb
from digits_runs import SHORT
from lowerbound.foundation.errors import DataError, RunError, UsageError
from lowerbound.foundation.run_identity import CONFIG, read_config, sealed
from lowerbound.foundation.text_files import write_toml
from lowerbound.inference import anomaly, tasks
from lowerbound.runs.inputs import InputOptions
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.resuming import resume
from lowerbound.runs.run_data import own_splits, read_stored
from untrained_models import untrained_run


def test_in_another_working_directory_the_data_are_found_and_a_file_of_the_same_name_is_not_taken(place, monkeypatch):
    expected = own_splits(place / "run").checksum
    other = place.parent / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    assert own_splits(place / "run").checksum == expected
    np.save("x.npy", np.random.default_rng(1).normal(size=(60, 5)))
    assert own_splits(place / "run").checksum == expected
    (place / "x.npy").rename(other / "moved.npy")
    with pytest.raises(
        RunError, match=r"the data in 'x.npy' are not those on which .* give the path of the unchanged data"
    ):
        own_splits(place / "run")
    assert own_splits(place / "run", data="moved.npy").checksum == expected


@pytest.mark.parametrize("injury", ["cut short", "gone"])
def test_every_use_of_the_runs_own_data_verifies_them(place, injury):
    if injury == "gone":
        (place / "x.npy").rename("elsewhere.npy")
        accepted = "x.npy.* If it was moved, give its new path"
    else:
        shutil.copy("x.npy", "elsewhere.npy")
        np.save("x.npy", np.load("x.npy")[:40])
        accepted = "checksum differs"
    run = place / "run"
    uses = {
        "encode": lambda options: tasks.encode(run, [], options, out=place / "codes.csv"),
        "reconstruct": lambda options: tasks.reconstruct(run, [], 4, options, out=place / "rows.csv"),
        "interpolate": lambda options: tasks.interpolate(run, "0", "1", 4, options, out=place / "line.csv"),
        "score": lambda options: anomaly.score(run, [], options=options),
        "evaluate": lambda options: reevaluate(run, data=options.data),
        "resume": lambda options: resume(run, data=options.data, settings={"training": {"num_epochs": 999}}),
    }
    for name, call in uses.items():
        with pytest.raises((DataError, RunError), match=accepted):
            call(InputOptions())
        if name not in ("evaluate", "resume"):  # which need a run with checkpoints, and seconds
            call(InputOptions(data="elsewhere.npy"))


def test_scores_of_new_rows_need_no_training_data(place):
    before = anomaly.score(place / "run", ["x.npy"])
    (place / "x.npy").rename("new.npy")
    after = anomaly.score(place / "run", ["new.npy"])
    np.testing.assert_array_equal(after.judged.scores["negative-elbo"], before.judged.scores["negative-elbo"])
    assert after.judged.thresholds == before.judged.thresholds


def test_a_run_of_data_in_memory_asks_for_a_file(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 5))
    run = untrained_run(tmp_path / "run", x)
    with pytest.raises(UsageError, match="was trained on data in memory; give the path of a file that contains them"):
        tasks.encode(run.path, [])
    np.save(tmp_path / "x.npy", x)
    tasks.encode(run.path, [], InputOptions(data=str(tmp_path / "x.npy")))


def test_in_the_process_that_trained_a_run_has_its_data_in_memory(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 5))
    settings = SHORT | {"model": {"network": "dense", "hidden": [8], "latent_dim": 2}}
    run = lb.train(x, settings=settings, out=tmp_path / "run")
    held = run.splits()
    assert sum(map(len, (held.train, held.validation, held.test))) == 60
    with pytest.raises(UsageError, match="was trained on data in memory"):
        lb.load_run(run.path).splits()


def test_a_run_from_before_a_setting_is_read_as_it_was_trained(place):
    stored = read_config(place / "run")
    del stored["training"]["threads"]
    write_toml(place / "run" / CONFIG, sealed(stored))
    assert read_stored(place / "run").experiment.training.threads == 0
    del stored["training"]["batch_size"]
    write_toml(place / "run" / CONFIG, sealed(stored))
    with pytest.raises(RunError, match=r"training\.batch_size is missing"):
        read_stored(place / "run")
