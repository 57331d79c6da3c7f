"""The steps of an epoch: which batches, at which rates, and where they go on after a stop."""

import pytest
import torch

from lowerbound.data.batches import Batches
from lowerbound.foundation.schedules import SCHEDULES
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.epoch import EpochLoop, initial_state

CONFIG = TrainingConfig(num_epochs=2, batch_size=8, schedule="cosine", warm_up=0.5, learning_rate=1e-2)


def loop_of(splits, objective=None, config=CONFIG):
    objective = objective or Objective()
    shape = splits.train.event_shape
    model = build_model(ModelConfig(hidden=(4,)), shape, generator(0, "weights"))
    state = initial_state(model, objective, config, "cpu")
    return EpochLoop(state, objective, config, Batches(splits.train, config.batch_size))


def test_an_epoch_is_as_many_steps_as_there_are_batches_at_the_rates_of_the_schedule(splits):
    loop = loop_of(splits, Objective(rate_warm_up=1.0))
    num_batches = len(loop.train)
    for epoch in range(2):
        steps = list(loop.steps())
        assert loop.is_epoch_done and len(steps) == num_batches
        for place, step in enumerate(steps):
            number = epoch * num_batches + place
            factor = SCHEDULES["cosine"](number, 2 * num_batches) * min(1, (number + 1) / (0.5 * num_batches))
            assert step.learning_rate == pytest.approx(1e-2 * factor)
            assert step.rate_scale == pytest.approx(min(1, (number + 1) / num_batches))
        loop.end_epoch()
    assert (loop.state.epoch, loop.state.batch, loop.state.step) == (2, 0, 2 * num_batches)
    assert not loop.state.totals.any()


def test_an_epoch_that_was_left_goes_on_at_the_next_batch(splits):
    whole, left = loop_of(splits), loop_of(splits)
    expected = list(whole.steps())
    begun = left.steps()
    first = [next(begun) for _ in range(2)]
    begun.close()
    assert not left.is_epoch_done
    rest = list(EpochLoop(left.state, left.objective, CONFIG, left.train).steps())
    assert first + rest == expected
    for one, other in zip(whole.state.model.parameters(), left.state.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(whole.state.totals, left.state.totals)


def test_the_weights_before_the_first_step_are_the_best_so_far(splits):
    state = loop_of(splits).state
    assert (state.step, state.epoch, state.batch) == (0, 0, 0)
    for name, value in state.model.state_dict().items():
        assert torch.equal(state.best_weights[name], value)


def test_the_warm_up_of_a_rate_starts_again_in_every_cycle(splits):
    config = TrainingConfig(num_epochs=4, batch_size=8)
    loop = loop_of(splits, Objective(rate_warm_up=1.0, rate_cycles=2), config)
    num_batches, scales = len(loop.train), []
    for _ in range(4):
        scales += [step.rate_scale for step in loop.steps()]
        loop.end_epoch()
    rise = [(number + 1) / num_batches for number in range(num_batches)]
    assert scales == pytest.approx(2 * (rise + [1.0] * num_batches))
