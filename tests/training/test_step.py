import math

import pytest
import torch

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import NonFiniteLoss
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.objective import Objective
from lowerbound.training.step import training_step


@pytest.fixture
def model():
    return build_model(ModelConfig(hidden=(8,)), (1, 4, 4), generator(0, "weights")).double()


def step(model, x, learning_rate=0.1, **options):
    optimiser = torch.optim.SGD(model.parameters(), lr=learning_rate)
    return training_step(model, Objective(), optimiser, Batch(x), generator(0, "noise"), **options)


def test_a_step_of_gradient_descent_moves_each_weight_by_the_learning_rate_times_its_gradient(model):
    x = torch.rand(5, 1, 4, 4, dtype=torch.float64, generator=generator(0, "x"))
    samples = model.sample_posterior(x, generator(0, "noise"))
    gradients = torch.autograd.grad(Objective()(samples).value, list(model.parameters()))
    expected = [p.detach() - 0.1 * g for p, g in zip(model.parameters(), gradients, strict=True)]
    step(model, x)
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_a_limit_on_the_gradient_norm_bounds_the_step(model):
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    step(model, torch.ones(5, 1, 4, 4, dtype=torch.float64), learning_rate=1.0, max_gradient_norm=0.01)
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert math.isclose(float((after - before).norm()), 0.01, rel_tol=1e-3)


def spoil_data(model, x):
    x[0, 0, 0, 0] = math.nan


def spoil_weights(model, x):
    model.decoder.output.weight.data[0, 0] = math.inf


def spoil_posterior(model, x):
    model.encoder.heads.weight.data[:] = 1e200


def spoil_decoder(model, x):
    model.decoder.output.weight.data[:] = 1e308


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (spoil_data, "the data contain NaN"),
        (spoil_weights, "made the weights non-finite; lower training.learning_rate"),
        (spoil_posterior, "the posterior diverged"),
        (spoil_decoder, "the decoder diverged"),
    ],
)
def test_a_non_finite_loss_stops_before_any_weight_changes_and_names_the_likely_cause(model, spoil, cause):
    x = torch.ones(5, 1, 4, 4, dtype=torch.float64)
    spoil(model, x)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with pytest.raises(NonFiniteLoss, match=cause):
        step(model, x)
    for parameter, value in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter.detach().nan_to_num(), value.nan_to_num())
