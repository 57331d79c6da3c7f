"""Frames are kept while a model trains, and training is the same with and without them."""

import shutil

import pytest

from digits_runs import SHORT, assert_same_weights
from lowerbound.evaluation import metrics
from lowerbound.evaluation.frames import FOLDER, read_frames
from lowerbound.foundation.errors import Interrupted, RunError
from lowerbound.runs import frame_keeping
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import Callbacks, train
from untrained_models import untrained_run


def kept(run):
    return {path.name: path.read_bytes() for path in (run / FOLDER).iterdir()}


def test_a_run_keeps_frames_of_its_epochs_and_of_the_weights_that_were_kept(finished):
    frames = read_frames(finished.path)
    best = finished.results.context["training"]["best_epoch"]
    assert [(frame.about.epoch, frame.about.is_kept) for frame in frames] == [
        (0, False),
        (1, False),
        (2, False),
        (3, False),
        (best, True),
    ]
    assert abs(frames[-1].codes - finished.results.arrays["latent_mean"]).max() < 1e-6


def test_a_run_that_was_interrupted_and_resumed_has_the_same_frames(finished, tmp_path):
    countdown = iter([False] * 50 + [True])  # of 40 steps in an epoch
    callbacks = Callbacks(should_stop=lambda: next(countdown))
    with pytest.raises(Interrupted):
        train("digits", recipe="dense", out=tmp_path / "run", settings=SHORT, callbacks=callbacks)
    assert set(kept(tmp_path / "run")) == {"epoch-000000.safetensors", "epoch-000001.safetensors"}
    resume(tmp_path / "run")
    assert kept(tmp_path / "run") == kept(finished.path)


def test_a_frame_that_cannot_be_kept_is_named_and_training_goes_on_as_with_it(finished, tmp_path, monkeypatch):
    def raises(*arguments):
        raise ValueError("no\nspace")

    monkeypatch.setattr(metrics, "CAUGHT", (Exception,))
    monkeypatch.setattr(frame_keeping, "write_frame", raises)
    messages = []
    callbacks = Callbacks(message=messages.append)
    run = train("digits", recipe="dense", out=tmp_path / "run", settings=SHORT, callbacks=callbacks)
    named = [message for message in messages if "no more frames" in message]
    assert named[0] == "no more frames of training are kept (ValueError: no space)"
    assert_same_weights(finished.path, run.path)
    assert read_frames(run.path) == ()


def test_frames_of_another_run_are_refused(finished, tmp_path):
    other = tmp_path / "other"
    untrained_run(other, "digits")
    shutil.copytree(finished.path / FOLDER, other / FOLDER)
    with pytest.raises(RunError, match="belongs to another run"):
        read_frames(other)
