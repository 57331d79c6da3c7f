"""The importance-weighted score gets its threshold at its first use, from the run's data, and keeps it."""

import numpy as np
import pytest

import lowerbound as lb
from command_line import in_process, one_line
from digits_runs import SHORT
from lowerbound.evaluation.anomaly_calibration import calibrate_scores, with_importance
from lowerbound.foundation.errors import UsageError
from lowerbound.runs.run import train
from lowerbound.runs.run_data import own_splits
from lowerbound.runs.trained_model import CALIBRATION, load
from untrained_models import untrained_run

IMAGES = np.random.default_rng(0).integers(0, 256, (240, 5, 4), dtype=np.uint8)


@pytest.fixture
def run(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    untrained_run(tmp_path / "run", str(tmp_path / "images.npy"))
    return tmp_path / "run"


def test_it_is_measured_once_and_is_that_of_all_held_out_examples(run):
    before = (run / CALIBRATION).read_bytes()
    quick = lb.score(run, IMAGES[:3])
    assert "importance" not in quick.scores
    assert (run / CALIBRATION).read_bytes() == before
    found = lb.score(run, IMAGES[:3], by="importance")
    assert found.judged.by == "importance"
    model, held_out = load(run), own_splits(run).validation
    expected = with_importance(calibrate_scores(model.vae, held_out), model.vae, held_out)
    assert found.judged.threshold == expected.thresholds()["importance"]
    kept = (run / CALIBRATION).read_bytes()
    (run.parent / "images.npy").unlink()
    again = lb.score(run, IMAGES[:3], importance=True)
    np.testing.assert_array_equal(again.scores["importance"], found.scores["importance"])
    assert (run / CALIBRATION).read_bytes() == kept


def test_a_model_in_python_measures_it_too(run):
    assert load(run).score(IMAGES[:3], by="importance").shape == (3,)
    assert load(run).calibration().measured.negative_log_evidence is not None


def test_data_that_were_moved_are_named_and_found_by_their_path(run, capsys):
    moved = (run.parent / "images.npy").rename(run.parent / "moved.npy")
    before = (run / CALIBRATION).read_bytes()
    printed = one_line(in_process(capsys, "score", run, moved, "--importance", expect=2).err)
    assert "score 'importance' has no threshold yet" in printed and "--data" in printed
    assert (run / CALIBRATION).read_bytes() == before
    in_process(capsys, "score", run, moved, "--importance", "--data", moved)
    assert "importance" in load(run).calibration().thresholds()


def test_a_model_outside_of_a_run_is_refused(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    settings = SHORT | {"model": {"network": "dense", "hidden": [8], "latent_dim": 2}}
    train(str(tmp_path / "images.npy"), out=tmp_path / "run", settings=settings).save_pretrained(tmp_path / "saved")
    with pytest.raises(UsageError, match=r"'importance' has no threshold yet.* is not a run directory; choose another"):
        lb.load(tmp_path / "saved").score(IMAGES[:3], by="importance")
    assert lb.load(tmp_path / "saved").score(IMAGES[:3]).shape == (3,)
