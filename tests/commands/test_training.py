"""The command train: what stops it, and what it refuses before it begins."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from command_line import in_process, one_line
from lowerbound.evaluation.results import read_results


def test_absent_data_offline_are_asked_for_with_the_place_to_put_them(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LOWERBOUND_DATA", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    captured = in_process(capsys, "train", "mnist", "--out", tmp_path / "run", expect=1)
    # The lines before the last say what was tried.
    assert "put train-images-idx3-ubyte.gz" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_ctrl_c_saves_and_prints_the_command_that_continues(tmp_path):
    path = tmp_path / "run"
    words = ["lowerbound", "train", "digits", "--recipe", "dense", "--epochs", "500", "--out", path]
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    while not (path / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"lowerbound train --resume {path}" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert list((path / "checkpoints").iterdir())


@pytest.mark.usefixtures("without_figures")
def test_the_autoencoder_baseline_trains_and_refuses_to_sample(capsys, tmp_path):
    words = ["train", "digits", "--recipe", "autoencoder", "--epochs", 1, "--out", tmp_path / "run"]
    assert "Reconstruction error" in in_process(capsys, *words).out
    captured = in_process(capsys, "sample", tmp_path / "run", expect=2)
    assert "no prior" in one_line(captured.err)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A run of random images in a moment, and what its training printed."""
    folder = tmp_path_factory.mktemp("tiny")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8))
    words = ["--set", "model.network=dense", "--set", "model.hidden=[8]", "--latent-dim", "3", "--epochs", "1"]
    command = [sys.executable, "-m", "lowerbound", "train", folder / "images.npy", "--out", folder / "run", *words]
    finished = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True, timeout=120)
    return folder / "run", finished


def test_training_ends_with_five_scores_the_report_and_what_to_do_next(tiny):
    path, finished = tiny
    first, *rest = finished.stdout.splitlines()
    scores = [line for line in rest if line.startswith("  ")]
    report, *between, show, following = rest[len(scores) :]
    assert first.startswith("test: 6 examples") and 1 <= len(scores) <= 5
    assert all(line.startswith("  ") and len(line) < 80 for line in scores)
    assert report == f"report: {path}/report.html"
    assert between[0].startswith("training ended by its limit of ") and f"train --resume {path} --epochs" in between[0]
    assert show == f"all scores: lowerbound show {path}"
    assert following == f"next: lowerbound explore {path}"
    assert max(map(len, finished.stderr.splitlines())) <= 200


def test_all_scores_are_shown_again_with_value_and_error_to_the_same_digit(capsys, tiny):
    path, finished = tiny
    shown = in_process(capsys, "show", path).out
    assert re.search(r"train: 6 of \d+ examples", shown) and "bits-per-dimension" in shown
    numbers = re.findall(r"([\d,]+(?:\.\d+)?) \u00b1 ([\d,]+(?:\.\d+)?)", shown + finished.stdout)
    assert len(numbers) > 10
    for value, error in numbers:
        assert len(value.partition(".")[2]) == len(error.partition(".")[2]), (value, error)
    scores = json.loads(in_process(capsys, "show", path, "--json").out)["scores"]
    assert {score["split"] for score in scores} == {"test", "train"}


def test_a_directory_that_is_no_run_has_no_scores_to_show(capsys, tmp_path):
    assert "is not a run directory" in one_line(in_process(capsys, "show", tmp_path, expect=2).err)


def test_a_quiet_evaluation_prints_no_progress(capsys, monkeypatch, tiny):
    path, _ = tiny

    def reevaluated(run_path, overrides, device, callbacks, data):
        callbacks.stage("a stage", 1, 2)
        return SimpleNamespace(path=path, results=read_results(path))

    monkeypatch.setattr("lowerbound.runs.reevaluation.reevaluate", reevaluated)
    assert "a stage ..." in in_process(capsys, "evaluate", path).err
    assert in_process(capsys, "evaluate", path, "-q").err == ""


def test_nothing_can_be_written_where_a_file_stands_in_the_way(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ["train", "digits", "--epochs", 1, "--out", tmp_path / "file" / "run"]
    assert "file" in one_line(in_process(capsys, *words, expect=1).err.splitlines()[-1])


def test_without_an_evaluation_the_report_has_the_curves_and_what_is_missing_is_named(capsys, tmp_path):
    run = tmp_path / "run"
    options = ("--recipe", "dense", "--epochs", 1, "--set", "training.min_steps=0", "--set", "model.hidden=[8]")
    printed = in_process(capsys, "train", "digits", *options, "--no-evaluation", "--out", run)
    assert "drawing the report" in printed.err and "evaluating" not in printed.err
    assert "rate: KL divergence in closed form; likelihood: bernoulli" in printed.err
    report, *_, missing, _ = printed.out.splitlines()
    assert (report, missing) == (f"report: {run}/report.html", f"not evaluated yet: lowerbound evaluate {run}")
    assert not (run / "calibration.safetensors").exists()
    assert in_process(capsys, "show", run).out == f"not evaluated yet: lowerbound evaluate {run}\n"
    assert "evaluate the run" in one_line(in_process(capsys, "score", run, expect=2).err)
    few = ["num_bounded=2", "num_gaps=2", "importance_draws=4", "num_draws=1"]
    in_process(capsys, "evaluate", run, *(word for one in few for word in ("--set", f"evaluation.{one}")))
    assert "ELBO" in in_process(capsys, "show", run).out.upper()
    assert (run / "calibration.safetensors").exists()


@pytest.mark.usefixtures("without_figures")
def test_what_the_checks_found_is_named_at_the_end(capsys, tmp_path):
    options = ("--recipe", "dense", "--epochs", 1, "--set", "training.min_steps=0", "--learning-rate", 1e-6)
    printed = in_process(capsys, "train", "digits", *options, "--out", tmp_path / "run").out.splitlines()
    (found,) = (line for line in printed if line.startswith("checks found: "))
    assert "undertrained" in found and found.endswith(f"; lowerbound diagnose {tmp_path}/run")
