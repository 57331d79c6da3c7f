"""How long training will take: measured by a few steps of a copy of the model, which is then dropped."""

import math
from dataclasses import replace
from itertools import islice, pairwise
from statistics import median
from time import perf_counter

import torch

from lowerbound.data.sources import Splits
from lowerbound.runs.experiment import Experiment
from lowerbound.runs.new_model import model_to_restore
from lowerbound.training.loop import training_steps

NUM_TIMED = 8  # steps, of which the first is not counted


def seconds_of_training(experiment: Experiment, splits: Splits, device: torch.device) -> float:
    """An estimate of the seconds that all epochs take, without evaluation; early stopping may shorten them.

    NonFiniteLoss if the loss is not finite in the first steps.
    """
    training = experiment.training.for_examples(len(splits.train))
    trial = replace(training, log_every=1, checkpoint_every=0)
    model = model_to_restore(experiment, splits)
    records = training_steps(model, splits, experiment.objective, trial, device=device)
    ends = []
    for _ in islice(records, NUM_TIMED):
        ends.append(perf_counter())
    seconds = median(later - earlier for earlier, later in pairwise(ends)) if len(ends) > 1 else 0.0
    return seconds * training.num_epochs * math.ceil(len(splits.train) / training.batch_size)
