"""The command sweep: what it prints, what stops it, and how it continues."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from command_line import in_process, one_line

TINY = ["--recipe", "dense", "--set", "model.hidden=[4]", "--set", "evaluation.num_draws=2", "--set",
        "evaluation.num_exact=2"]  # fmt: skip
BETA = ["--over", "objective.rate_weight=0.5,2"]


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8))
    return tmp_path / "images.npy"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "needs a key with several values, such as objective.rate_weight. Option: --over SECTION.KEY=VALUE,VALUE"),
        (["--over", "objective.rate_weight=1"], "has the single value 1"),
        (["--over", "objective.rate_weight=1,,2"], "has an empty value"),
        (["--over", "objective.rate_wieght=1,2"], "did you mean 'objective.rate_weight'"),
        (
            ["--over", "objective.rate_weight=1,x"],
            "rate_weight=x: objective.rate_weight: input should be a valid",
        ),
        ([*BETA, "--set", "objective.rate_weight=1"], "and set to a single value, too"),
        ([*BETA, "--seeds", "0"], "--seeds"),
        (["minst", *BETA], "did you mean 'mnist'"),
        (["--resume", "nowhere"], "nowhere is not the folder of a sweep"),
        (["digits", "--resume", "nowhere", *BETA, "--epochs", "2"], "leave out DATA, --over, --epochs"),
    ],
)
def test_wrong_requests_get_one_line_and_nothing_is_written(capsys, monkeypatch, tmp_path, words, says):
    monkeypatch.chdir(tmp_path)
    captured = in_process(capsys, "sweep", *words, expect=2)
    assert says in one_line(captured.err)
    assert list(tmp_path.iterdir()) == []


def test_runs_are_counted_and_their_table_is_printed_as_text_or_json(capsys, monkeypatch, tmp_path, data):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", data, *TINY, "--epochs", 1, *BETA]
    captured = in_process(capsys, *words)
    assert "sweep of 2 runs: 2 values of objective.rate_weight; training takes about" in captured.err
    assert "run 2 of 2: rate_weight=2; about" in captured.err
    assert "run 2/2  epoch 1/1  ELBO: train" in captured.err
    assert "report: runs/dense-images-sweep/sweep.html" in captured.out
    again = in_process(capsys, *words, "--json")
    assert "run 2 of 2: rate_weight=2; already finished" in again.err
    found = json.loads(again.out)
    assert [point["values"] for point in found["points"]] == [
        {"objective.rate_weight": 0.5},
        {"objective.rate_weight": 2},
    ]
    assert (tmp_path / found["report"]).is_file()


def test_a_run_that_diverges_leaves_the_status_of_a_failure_and_the_page_of_the_others(capsys, tmp_path, data):
    words = [
        "sweep",
        data,
        *TINY,
        "--epochs",
        2,
        "--over",
        "training.learning_rate=1e30,1e-3",
        "--out",
        tmp_path / "out",
    ]
    captured = in_process(capsys, *words, "--set", "training.batch_size=16", "--quiet", expect=1)
    assert captured.err.splitlines()[-1] == "lowerbound: 1 run of 2 failed; the others are finished."
    assert "failed: learning_rate=1e+30: the loss became" in captured.err
    assert "report: " in captured.out
    assert (tmp_path / "out" / "sweep.html").is_file()


def test_ctrl_c_saves_and_prints_the_command_that_continues(capsys, tmp_path, data):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "lowerbound", "sweep", data, *TINY, "--epochs", "100000", *BETA, "--out", out]
    process = subprocess.Popen(list(map(str, words)), stderr=subprocess.PIPE, text=True, env=os.environ)
    while not (out / "rate_weight-0.5,seed-0" / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    refused = in_process(capsys, "sweep", "--resume", out, expect=1)
    assert "another process is writing into" in one_line(refused.err)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.splitlines()[-1].endswith(f"Continue with: lowerbound sweep --resume {out}")
    assert "Traceback" not in errors
    assert list((out / "rate_weight-0.5,seed-0" / "checkpoints").iterdir())


def test_several_ranks_do_not_run_a_sweep(capsys, monkeypatch):
    monkeypatch.setattr("lowerbound.foundation.distributed.is_launched", lambda: True)
    monkeypatch.setattr("lowerbound.commands.ranks.join_ranks", lambda: None)
    captured = in_process(capsys, "sweep", *BETA, expect=2)
    assert "sweep runs in one process" in captured.err
