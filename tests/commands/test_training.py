"""The command train: what stops it, and what it refuses before it begins."""

import os
import signal
import subprocess
import sys
import time

import pytest

from command_line import in_process, one_line


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


def test_nothing_can_be_written_where_a_file_stands_in_the_way(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ["train", "digits", "--epochs", 1, "--out", tmp_path / "file" / "run"]
    assert "file" in one_line(in_process(capsys, *words, expect=1).err.splitlines()[-1])
