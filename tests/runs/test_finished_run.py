"""Run: what it shows, and reading one from its directory."""

import shutil

import pytest

import lowerbound as lb
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.runs.finished_run import finished_run, load_run


def test_a_run_read_from_disk_is_the_run_that_training_returned(finished):
    read = load_run(str(finished.path))
    assert read.path == finished.path
    assert [vars(score) for score in read.results.scores] == [vars(score) for score in finished.results.scores]
    assert repr(read) == repr(finished) and len(repr(read)) < 400
    assert read._repr_html_() == finished._repr_html_()


def test_what_is_not_a_run_or_has_no_results_is_refused(finished, tmp_path):
    with pytest.raises(UsageError, match="not a run directory"):
        load_run(tmp_path)
    copy = shutil.copytree(finished.path, tmp_path / "run")
    (copy / "results.safetensors").unlink()
    with pytest.raises(RunError, match=r"results\.safetensors does not exist"):
        load_run(copy)
    assert finished_run(copy) is None


def test_a_model_shows_its_parts_its_layers_and_the_units_of_its_data(finished):
    shown = finished.model._repr_html_()
    for words in ("image of shape 8×8×1, stored as 0 to 16", "bernoulli", "diagonal-normal", "Linear", "encoder"):
        assert words in shown
    assert "Linear" in finished.model.vae._repr_html_()
    assert len(repr(finished.model)) < 400 and str(finished.path) in repr(finished.model)


def test_exploring_a_run_is_exploring_its_directory(finished, monkeypatch):
    asked = []
    monkeypatch.setattr(lb, "explore", lambda run, **options: asked.append((run, options)))
    finished.explore(height=500)
    assert asked == [(finished, {"height": 500})]


def test_data_are_shown_in_few_words():
    splits = lb.load_data(lb.DataConfig())
    assert repr(splits) == "Splits('digits': 1,257 train, 180 validation, 360 test; examples of shape 1×8×8)"
    assert repr(splits.test) == "Examples(360 images of shape 1×8×8, 0 to 16, with labels)"
