"""A training state is restored whole, or refused in one line that says what does not fit."""

import pytest
import torch

from lowerbound.data.batches import Batches
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.epoch import EpochLoop, initial_state


def state_of(optimiser):
    model = build_model(ModelConfig(hidden=(8,)), (1, 6, 5), generator(0, "w"))
    return initial_state(model, Objective(), TrainingConfig(optimiser=optimiser, batch_size=8), "cpu")


def trained_state(optimiser, splits):
    state = state_of(optimiser)
    loop = EpochLoop(state, Objective(), TrainingConfig(optimiser=optimiser, batch_size=8), Batches(splits.train, 8))
    for _ in loop.steps():
        pass
    loop.end_epoch()
    return state


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_a_state_is_restored_to_the_bit(splits, optimiser):
    saved, restored = trained_state(optimiser, splits), state_of(optimiser)
    restored.restore(saved.tensors(), saved.numbers())
    tensors = restored.tensors()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in saved.tensors().items())
    assert (restored.epoch, restored.step, restored.batch) == (1, 6, 0)


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_an_optimiser_slot_that_is_missing_or_of_another_shape_is_refused_in_one_line(splits, optimiser):
    saved = trained_state(optimiser, splits)
    for name in (name for name in saved.tensors() if name.startswith("optimiser/")):
        *_, slot = name.split("/")
        lacking = {key: tensor for key, tensor in saved.tensors().items() if key != name}
        with pytest.raises(RunError, match=rf"does not match .*\(.*{slot}") as caught:
            state_of(optimiser).restore(lacking, saved.numbers())
        assert "\n" not in str(caught.value)
        if slot != "step":
            with pytest.raises(RunError, match=f"slot {slot} of parameter .* has the wrong shape"):
                state_of(optimiser).restore({**lacking, name: torch.zeros(3, 2, 1)}, saved.numbers())
