"""A resumed run ends with the bytes of one that was never interrupted."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import lowerbound.runs.run
from digits_runs import SHORT, assert_same_weights
from lowerbound.foundation.errors import ConfigError, Interrupted, UsageError
from lowerbound.runs.reevaluation import reevaluate
from lowerbound.runs.resuming import resume
from lowerbound.runs.run import Callbacks, train
from lowerbound.runs.run_log import read_log
from lowerbound.training.checkpoint import load_checkpoint, save_checkpoint
from lowerbound.training.state import machine


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"model": {"latent_dim": 3}}, "model.latent_dim"),
        ({"training": {"seed": 5}}, "training.seed"),
        ({"data": {"source": "mnist"}}, "data.source"),
    ],
)
def test_resuming_refuses_other_settings_and_names_the_first(finished, settings, key):
    with pytest.raises(ConfigError, match=key.replace(".", r"\.")):
        resume(finished.path, settings=settings)


def test_resuming_refuses_another_recipe_and_fewer_epochs(finished):
    with pytest.raises(ConfigError, match="recipe 'dense'"):
        resume(finished.path, recipe="conv")
    with pytest.raises(ConfigError, match="can only have more"):
        resume(finished.path, settings={"training": {"num_epochs": 1}})


def test_what_is_no_run_cannot_be_resumed_or_evaluated(tmp_path):
    for call in (resume, reevaluate):
        with pytest.raises(UsageError, match="is not a run directory"):
            call(tmp_path)


def test_an_interrupted_run_says_how_to_continue_and_continues_identically(finished, tmp_path):
    countdown = iter([False] * 50 + [True])
    with pytest.raises(Interrupted, match=r"Resume the run in .*run to continue"):
        train(
            "digits",
            recipe="dense",
            out=tmp_path / "run",
            settings=SHORT,
            callbacks=Callbacks(should_stop=lambda: next(countdown)),
        )
    assert not (tmp_path / "run" / "model.safetensors").exists()
    resume(tmp_path / "run")
    assert_same_weights(finished.path, tmp_path / "run")


def test_a_run_killed_twice_with_sigkill_ends_with_the_same_weights_and_metrics(finished, tmp_path):
    path = tmp_path / "run"
    options = "--epochs 3 --set training.checkpoint_every=7 --set training.log_every=1 --set model.hidden=[16]"
    options += " --set evaluation.num_draws=2 --set evaluation.num_exact=4"
    kill_after(12, path, ["digits", "--recipe", "dense", *options.split(), "--out", path])
    kill_after(70, path, ["--resume", path])
    # A record cut short by the crash, and a newest checkpoint that the crash damaged.
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "st')
    newest = max((path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-100])
    messages = []
    resume(path, callbacks=Callbacks(message=messages.append))
    assert any("skipped a checkpoint" in message for message in messages)
    assert_same_weights(finished.path, path)
    records = read_log(path)
    assert [record["step"] for record in records] == list(range(1, 121))
    expected = [r["validation"] for r in read_log(finished.path) if r["validation"]]
    assert [record["validation"] for record in records if record["validation"]] == expected


def kill_after(step, path, words):
    """Start training in a process of its own and kill it, without mercy, once `step` is in its log."""
    # One thread in both: bit-identity holds for an equal number of threads.
    command = [sys.executable, "-m", "lowerbound", "train", *map(str, words), "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while True:
        records = read_log(path)
        if records and records[-1]["step"] >= step:
            break
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_the_machine_is_recorded_and_a_change_of_it_is_reported(finished, tmp_path, monkeypatch):
    messages, path = [], shutil.copytree(finished.path, tmp_path / "run")
    threads = torch.get_num_threads()
    # Said and not made so: two threads on a busy machine would take a minute for this.
    monkeypatch.setattr(lowerbound.runs.run, "machine", lambda device: machine(device) | {"threads": threads + 1})
    resume(path, settings={"training": {"num_epochs": 4}}, callbacks=Callbacks(message=messages.append))
    assert any("not bit-identical" in message and f"threads was {threads}" in message for message in messages)


def test_a_run_begun_on_a_gpu_is_continued_on_the_cpu_with_new_noise_and_says_so(finished, tmp_path):
    messages, losses = [], []
    for name in ("one", "other"):
        path = shutil.copytree(finished.path, tmp_path / name)
        write_as_on_a_gpu(path / "checkpoints")
        run = resume(path, settings={"training": {"num_epochs": 4}}, callbacks=Callbacks(message=messages.append))
        losses.append([record["train"] for record in read_log(run.path)])
    assert losses[0] == losses[1]
    assert any("device was 'cuda', is 'cpu'" in message for message in messages)


def write_as_on_a_gpu(checkpoints):
    """Give the newest checkpoint the random state of a GPU's generator: a seed and an offset, 16 bytes."""
    checkpoint = load_checkpoint(checkpoints)
    state = checkpoint.state | {"machine": checkpoint.state["machine"] | {"device": "cuda"}}
    tensors = checkpoint.tensors | {"noise": torch.arange(16, dtype=torch.uint8)}
    save_checkpoint(checkpoints, state["step"], tensors, state)
