"""Runs that differ in their seed alone are trained, resumed and summarised."""

import shutil

import numpy as np
import pytest
import torch

from command_line import in_process, one_line
from digits_runs import SHORT, assert_same_weights, weights
from lowerbound.commands.hints import with_hint
from lowerbound.evaluation.over_seeds import over_seeds
from lowerbound.foundation.errors import Interrupted
from lowerbound.foundation.run_identity import read_config
from lowerbound.runs.experiment import merge, resolve
from lowerbound.runs.repeats import train_seeds
from lowerbound.runs.run import Callbacks


def test_over_several_seeds_a_score_is_the_mean_with_the_error_over_seeds(tmp_path):
    settings = merge(SHORT, {"training": {"num_epochs": 1}})
    runs = train_seeds(3, resolve("dense", settings), tmp_path)
    values = np.array([run.results.score("elbo").value for run in runs])
    assert len(set(values)) == 3
    scores = over_seeds([run.results for run in runs])
    summary = next(score for score in scores if (score.name, score.split) == ("elbo", "test"))
    assert summary.value == pytest.approx(values.mean())
    assert summary.standard_error == pytest.approx(values.std(ddof=1) / 3**0.5)
    # Killed while the second was evaluated: the first is kept, the second goes on, the third is trained.
    (tmp_path / "seed-1" / "report.html").unlink()
    shutil.rmtree(tmp_path / "seed-2")
    before = (tmp_path / "seed-0" / "report.html").stat().st_mtime_ns
    again = train_seeds(3, resolve("dense", settings), tmp_path, settings=settings, is_resumed=True)
    assert [run.results.score("elbo").value for run in again] == values.tolist()
    assert (tmp_path / "seed-0" / "report.html").stat().st_mtime_ns == before


def test_several_seeds_go_on_with_what_was_stopped_and_keep_what_is_finished(tmp_path):
    settings = merge(SHORT, {"training": {"num_epochs": 2}})
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


def test_an_interruption_states_how_all_seeds_continue(tmp_path):
    stopping = Callbacks(should_stop=lambda: True)
    with pytest.raises(Interrupted) as caught:
        train_seeds(3, resolve("dense", SHORT), tmp_path / "all", callbacks=stopping)
    assert with_hint(caught.value).endswith(f"lowerbound train --resume {tmp_path / 'all'} --seeds 3")


@pytest.mark.parametrize("is_killed", [False, True], ids=["its own", "of a missing seed"])
def test_what_is_resumed_keeps_the_settings_of_the_run(tmp_path, capsys, is_killed):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    mixture = ["--set", "model.prior=mixture-of-normals", "--set", "model.prior_options.num_components=3"]
    short = ["--set", "model.hidden=[8]", "--set", "model.network=dense", "--epochs", "1", "--quiet"]
    out = tmp_path / "runs"
    in_process(capsys, "train", tmp_path / "images.npy", "--out", out, "--seeds", "2", *mixture, *short)
    before = weights(out / "seed-1")
    again = ["train", "--resume", out if is_killed else out / "seed-1", "--quiet"]
    if is_killed:
        shutil.rmtree(out / "seed-1")
        again += ["--seeds", "2"]
    in_process(capsys, *again, *mixture[2:])
    assert read_config(out / "seed-1")["model"]["prior"] == "mixture-of-normals"
    torch.testing.assert_close(weights(out / "seed-1"), before, rtol=0, atol=0)
    refused = in_process(capsys, *again, "--set", "model.prior_options.num_components=4", expect=2).err
    assert "model.prior_options is {'num_components': 3" in one_line(refused)
    refused = in_process(capsys, *again, "--recipe", "conv", expect=2).err
    assert "was trained with recipe 'auto', not 'conv'" in one_line(refused)
