"""Steps without a word from the host are those with it, to the bit."""

import pytest
import torch

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import NonFiniteLoss
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.training.config import TrainingConfig
from lowerbound.training.optimisers import adam
from lowerbound.training.state import TrainingState
from lowerbound.training.stepping import CheckedStepping, DeferredStepping

RATES = [1e-2, 3e-3, 1e-3, 5e-4]
SCALES = [0.25, 0.5, 0.75, 1.0]


def stepping(kind, precision=torch.float32, max_gradient_norm=0.0, weight_decay=0.0):
    model = build_model(ModelConfig(hidden=(16,)), (1, 4, 4), generator(0, "weights"))
    optimiser = adam(model.parameters(), TrainingConfig())
    state = TrainingState(model=model, optimiser=optimiser, noise=generator(0, "noise"), best_weights={})
    state.totals = torch.zeros(len(Objective().term_names), dtype=torch.float64)
    return kind(state, Objective(), max_gradient_norm, precision, weight_decay=weight_decay)


def batches(num=4):
    return torch.rand(num, 6, 1, 4, 4, generator=generator(0, "x"))


@pytest.mark.parametrize(("max_gradient_norm", "weight_decay"), [(0.0, 0.0), (0.5, 0.3)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_deferred_steps_leave_the_same_state_as_checked_ones(precision, max_gradient_norm, weight_decay):
    kinds, settings = (CheckedStepping, DeferredStepping), (precision, max_gradient_norm, weight_decay)
    checked, deferred = [stepping(kind, *settings) for kind in kinds]
    for which in (checked, deferred):
        for x, learning_rate, rate_scale in zip(batches(), RATES, SCALES, strict=True):
            which.step(Batch(x), learning_rate, rate_scale)
        which.check()
    expected, found = checked.state.tensors(), deferred.state.tensors()
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-9, msg=name)


def test_weights_decay_after_a_step_at_the_rate_of_the_step():
    decaying, plain = stepping(CheckedStepping, weight_decay=0.3), stepping(CheckedStepping)
    for which in (decaying, plain):
        which.step(Batch(batches(1)[0]), 1e-2, 1.0)
    for name, tensor in plain.state.model.state_dict().items():
        factor = 1 - 1e-2 * 0.3 if name.endswith("weight") else 1.0
        torch.testing.assert_close(decaying.state.model.state_dict()[name], factor * tensor, msg=name)


def test_a_non_finite_loss_changes_nothing_is_reported_by_the_check_and_later_steps_go_on():
    deferred, without = [stepping(DeferredStepping, weight_decay=0.3) for _ in range(2)]
    good, bad, other = batches(3)
    bad = bad.clone()
    bad[0, 0, 0, 0] = torch.nan
    deferred.step(Batch(good), 1e-2, 1.0)
    before = {name: tensor.clone() for name, tensor in deferred.state.tensors().items() if name != "noise"}
    deferred.step(Batch(bad), 1e-2, 1.0)
    for name, tensor in before.items():
        assert torch.equal(deferred.state.tensors()[name], tensor), name
    with pytest.raises(NonFiniteLoss, match="not finite in 1 step, which changed no weight"):
        deferred.check()
    without.step(Batch(good), 1e-2, 1.0)
    without.state.noise.set_state(deferred.state.noise.get_state())
    for which in (deferred, without):
        which.step(Batch(other), 1e-2, 1.0)
    for name, tensor in without.state.tensors().items():
        assert torch.equal(deferred.state.tensors()[name], tensor), name
