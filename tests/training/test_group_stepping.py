"""Gradients of several ranks against those of one process, in float64 and without processes; refusals."""

from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

from lowerbound.data.batches import Batch
from lowerbound.foundation import distributed
from lowerbound.foundation.errors import ConfigError, NonFiniteLoss
from lowerbound.foundation.seeding import generator
from lowerbound.foundation.shares import WHOLE, Share
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.presets import OBJECTIVES
from lowerbound.training.config import TrainingConfig
from lowerbound.training.epoch import initial_state
from lowerbound.training.group_stepping import GroupStepping, add_up_gradients, check_can_be_shared
from lowerbound.training.step import loss_of, totals


def new_model():
    return build_model(ModelConfig(hidden=(8,)), (1, 4, 4), generator(0, "weights")).double()


def examples(num):
    return torch.rand(num, 1, 4, 4, dtype=torch.float64, generator=generator(0, "x"))


def gradients(model):
    return [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("num_ranks", [2, 3, 7])
@pytest.mark.parametrize("objective", ["vae", "iwae", "sticking-the-landing", "score-function"])
def test_weighted_gradients_and_totals_of_ranks_add_up_to_those_of_the_batch(objective, num_ranks):
    x, objective = examples(5), OBJECTIVES[objective]
    whole = new_model()
    expected = loss_of(whole, objective, Batch(x), generator(0, "noise"))
    expected.value.backward()
    model, summed, places = new_model(), torch.zeros(4, dtype=torch.float64), set()
    for rank in range(num_ranks):  # gradients accumulate
        rows, noise = Share(rank, num_ranks).rows(5), generator(0, "noise")
        loss = loss_of(model, objective, Batch(x[rows.slice], rows=rows), noise)
        (loss.value * rows.weight).backward()
        summed += totals(loss, rows)
        places.add(bytes(noise.get_state().tolist()))
    assert len(places) == 1  # every rank's noise has moved equally
    assert_close(summed, totals(expected))
    assert_close(gradients(model), gradients(whole))


def stepping_of(model, monkeypatch, ranks=2):
    """A step of two ranks that have the same rows: sums are twice one's own."""
    monkeypatch.setattr(distributed, "add_up", lambda tensor: tensor.mul_(ranks))
    state = initial_state(model, Objective(), TrainingConfig(), "cpu")
    return GroupStepping(state, Objective(), should_stop=lambda: True)


def test_the_sum_of_gradients_leaves_parameters_without_one_alone(monkeypatch):
    monkeypatch.setattr(distributed, "add_up", lambda tensor: tensor.mul_(2))
    model = new_model()
    loss_of(model, Objective(), Batch(examples(3)), generator(0, "noise")).value.backward()
    first, *others = model.parameters()
    first.grad = None
    before = [deepcopy(parameter.grad) for parameter in others]
    loss, num_stopping = add_up_gradients(model, torch.tensor(1.25), True)
    assert (loss, num_stopping, first.grad) == (2.5, 2.0, None)
    assert_close([parameter.grad for parameter in others], [2 * gradient for gradient in before])


def test_one_rank_that_is_asked_to_stop_stops_all(monkeypatch):
    stepping = stepping_of(new_model(), monkeypatch)
    rows = Share(0, 2).rows(4)
    assert not stepping.is_stopping()
    stepping.step(Batch(examples(4)[rows.slice], rows=rows), 1e-3, 1.0)
    assert stepping.is_stopping()


def test_a_loss_that_is_not_finite_on_another_rank_changes_no_weight_here(monkeypatch):
    model = new_model()
    stepping = stepping_of(model, monkeypatch)
    monkeypatch.setattr(distributed, "add_up", lambda tensor: tensor.mul_(torch.nan))
    monkeypatch.setattr(distributed, "texts", lambda text: [text, "the data contain NaN or infinity."])
    before, rows = deepcopy(model.state_dict()), Share(0, 2).rows(4)
    with pytest.raises(NonFiniteLoss, match="the loss became nan: the data contain NaN or infinity"):
        stepping.step(Batch(examples(4)[rows.slice], rows=rows), 1e-3, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_what_ranks_cannot_compute_as_one_process_does_is_refused():
    penalised = Objective(penalties={"mmd": 1.0})
    with pytest.raises(ConfigError, match=r"objective.penalties \(mmd\) needs the examples of a whole batch"):
        check_can_be_shared(penalised, 128, Share(0, 2))
    with pytest.raises(ConfigError, match=r"training\.batch_size is 3 for 4 ranks"):
        check_can_be_shared(Objective(), 3, Share(0, 4))
    check_can_be_shared(penalised, 1, WHOLE)
