"""Estimates of training time."""

from dataclasses import replace

import torch

from lowerbound.runs import duration
from lowerbound.runs.experiment import resolve
from lowerbound.runs.run_data import splits_in_memory

IMAGES = torch.rand(50, 4, 4).mul(255).to(torch.uint8).numpy()


def test_the_seconds_of_all_steps_are_those_of_one_and_steps_are_counted_over_all_epochs(monkeypatch):
    settings = {"model": {"hidden": [4]}, "training": {"num_epochs": 7, "min_steps": 0, "batch_size": 8}}
    experiment, splits = resolve("dense", settings), splits_in_memory(IMAGES)
    ticks = iter(range(100))
    monkeypatch.setattr(duration, "perf_counter", lambda: 0.5 * next(ticks))
    per_epoch = -(-len(splits.train) // 8)
    seconds = duration.seconds_of_training(experiment, splits, torch.device("cpu"))
    assert seconds == 0.5 * 7 * per_epoch
    one_step = replace(experiment, training=replace(experiment.training, num_epochs=1, batch_size=64))
    assert duration.seconds_of_training(one_step, splits, torch.device("cpu")) == 0.0
