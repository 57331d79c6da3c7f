"""A finished run: opened, drawn and animated."""

import shutil

import pytest
from matplotlib.figure import Figure
from PIL import Image

import lowerbound as lb
from lowerbound.evaluation.frames import FOLDER
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.runs.finished_run import animate, load_run


@pytest.fixture(scope="module")
def animation(finished, tmp_path_factory):
    return lb.animate(finished, tmp_path_factory.mktemp("animation") / "a b.gif")


def test_a_run_is_opened_from_its_directory_with_model_and_results(finished):
    run = lb.load_run(str(finished.path))
    assert run.results.score("elbo") == finished.results.score("elbo")
    assert run.model.vae.latent_dim == 2


def test_what_is_no_run_is_neither_opened_nor_animated(tmp_path):
    for call in (load_run, animate):
        with pytest.raises(UsageError, match="is not a run directory"):
            call(tmp_path)


def test_an_animation_has_a_picture_for_each_frame_of_training(animation, finished):
    assert animation.name == "a b.gif"
    with Image.open(animation) as image:
        assert image.n_frames == len(list((finished.path / FOLDER).iterdir()))
        assert image.info["loop"] == 0
    assert animation.stat().st_size < 1e6


def test_an_animation_is_written_into_the_run_unless_told_otherwise_and_replaced(finished, tmp_path, monkeypatch):
    run = finished.save(tmp_path / "run")
    monkeypatch.setattr("lowerbound.runs.finished_run.write_animation", lambda results, frames, path: path)
    assert run.animate() == run.path / "training.gif"


def test_a_run_without_frames_says_why_it_is_not_animated(finished, tmp_path):
    run = finished.save(tmp_path / "run")
    shutil.rmtree(run.path / FOLDER)
    for call in (run.animate, run.plot.training_frame):
        with pytest.raises(RunError, match="has no frames of training: they are kept while a model trains"):
            call()
    assert not (run.path / "training.gif").exists()


def test_the_figures_of_a_run_are_its_methods(finished):
    assert isinstance(finished.plot.latent_space(), Figure)
    assert isinstance(finished.plot.training_frame(0), Figure)
    with pytest.raises(UsageError, match="the run has 5 frames of its training; got index 5"):
        finished.plot.training_frame(5)
