"""The threads of a run: those that suit its steps and the machine, those that are set, or those of its beginning."""

from itertools import chain, repeat

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import Interrupted
from lowerbound.runs import threads
from lowerbound.runs.experiment import resolve
from lowerbound.runs.new_model import initial_model
from lowerbound.runs.threads import choose_threads, idle_cores, operations_of_step, running_threads

CPU = torch.device("cpu")
LARGE = 100 * threads.OPERATIONS_OF_A_THREAD


@pytest.fixture
def four():
    """Four threads, whatever the tests use."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def experiment_of(**training):
    return resolve("dense", {"model": {"hidden": [20]}, "training": {"batch_size": 50, **training}})


def within(experiment, earlier=0):
    """The number of threads within the context, and what was said."""
    splits, said = load(DataConfig()), []
    model = initial_model(experiment, splits)
    with running_threads(experiment, splits, model, CPU, said.append, earlier):
        return torch.get_num_threads(), said


@pytest.mark.parametrize(
    ("operations", "idle", "num", "reason"),
    [
        (1.0, 4, 1, ", enough for steps this small"),
        (2.2 * threads.OPERATIONS_OF_A_THREAD, 4, 2, ""),
        (LARGE, 4, 4, ""),
        (LARGE, 3, 3, "other processes keep 1 core busy"),
        (LARGE, 0, 1, "other processes keep 3 cores busy"),
    ],
)
def test_the_size_of_a_step_and_idle_cores_limit_the_threads(operations, idle, num, reason):
    found, said = choose_threads(operations, 4, lambda: idle)
    assert found == num and reason in said


def test_idle_cores_are_not_counted_for_small_steps():
    assert choose_threads(1.0, 4, pytest.fail)[0] == 1


def test_operations_are_those_of_the_matrices_forwards_and_backwards():
    experiment = experiment_of()
    splits = load(DataConfig())
    latent = experiment.model.latent_dim
    weights = 64 * 20 + 20 * 2 * latent + latent * 20 + 20 * 64
    assert operations_of_step(experiment, splits, initial_model(experiment, splits)) == 3 * 50 * 2 * weights
    many = resolve("dense", {"model": {"hidden": [20]}, "objective": {"bound": "iwae", "num_samples": 5}})
    decoder = latent * 20 + 20 * 64
    operations = operations_of_step(many, splits, initial_model(many, splits)) / (3 * many.training.batch_size * 2)
    assert operations == weights + 4 * decoder


def stat(busy, idle):
    """/proc/stat of a machine whose cores have been busy and idle for so long; a line of all cores is before them."""
    lines = [
        f"cpu{core} {time} 0 0 {rest} 0 0 0 0 7 7" for core, (time, rest) in enumerate(zip(busy, idle, strict=True))
    ]
    return "\n".join(["cpu 1 1 1 1 1 1 1 1 1 1", *lines, "intr 5 5", ""])


@pytest.mark.parametrize(
    ("busy", "idle", "expected"),
    [([0, 0], [20, 20], 2), ([20, 1], [0, 19], 1), ([20, 20], [0, 0], 0), ([5, 5], [15, 15], 1), ([3, 2], [17, 18], 2)],
)
def test_a_core_counts_as_idle_that_is_barely_busy(tmp_path, monkeypatch, busy, idle, expected):
    file = tmp_path / "stat"
    file.write_text(stat([100, 100], [1000, 1000]))
    later = stat([100 + time for time in busy], [1000 + time for time in idle])
    monkeypatch.setattr(threads, "STAT", file)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(threads.time, "sleep", lambda _: file.write_text(later))
    assert idle_cores() == expected


def test_a_system_that_does_not_say_has_all_its_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "STAT", tmp_path / "none")
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert idle_cores() == 3


def test_a_number_that_is_set_or_was_used_before_is_taken_without_a_word(four):
    assert within(experiment_of(threads=3)) == (3, [])
    assert within(experiment_of(), earlier=2) == (2, [])
    assert within(experiment_of(threads=3), earlier=2) == (3, [])
    assert torch.get_num_threads() == 4


def test_a_choice_is_told_and_undone_at_the_end(four):
    num, said = within(experiment_of())
    assert num == 1 and said == ["threads: 1 of 4, enough for steps this small"]
    assert torch.get_num_threads() == 4


def test_where_the_user_allows_one_thread_nothing_is_chosen():
    assert torch.get_num_threads() == 1
    assert within(experiment_of()) == (1, [])


def test_a_resumed_run_has_the_threads_of_its_beginning_bit_for_bit(tmp_path, four):
    images = str(tmp_path / "images.npy")
    np.save(images, np.random.default_rng(0).integers(0, 256, (300, 6, 6), dtype=np.uint8))
    training = {"log_every": 1, "checkpoint_every": 1, "num_epochs": 2, "min_steps": 0}
    settings = {"model": {"hidden": [16]}, "training": training}
    whole = lb.train(images, recipe="dense", settings=settings, out=tmp_path / "whole")
    stops = chain([False] * 3, repeat(True))
    with pytest.raises(Interrupted):
        stopping = lb.Callbacks(should_stop=lambda: next(stops))
        lb.train(images, recipe="dense", settings=settings, out=tmp_path / "part", callbacks=stopping)
    messages = []
    torch.set_num_threads(3)
    resumed = lb.resume(tmp_path / "part", callbacks=lb.Callbacks(message=messages.append))
    assert not [message for message in messages if "bit-identical" in message]
    for name, value in whole.model.vae.state_dict().items():
        assert torch.equal(value, resumed.model.vae.state_dict()[name])
    assert [run.results.context["machine"]["threads"] for run in (whole, resumed)] == [1, 1]
