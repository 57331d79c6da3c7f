"""FactorVAE's discriminator learns the log-odds, whose mean is the total correlation; its state resumes to the bit."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.discriminator import shuffled_latents
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.penalties import Factor, PenaltyContext
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.samples import PosteriorSamples

RHO = 0.8


def context():
    model = build_model(ModelConfig(hidden=(3,), latent_dim=2), (1, 2, 2), generator(0, "weights"))
    return PenaltyContext(model, generator(0, "shuffle"), 1000)


def correlated(num, rho, stream):
    first, second = torch.randn(2, num, generator=stream)
    z = torch.stack([first, rho * first + math.sqrt(1 - rho**2) * second], 1)
    zero = torch.zeros(num, 2)
    q, prior = DiagonalNormal(zero, zero), DiagonalNormal(zero[0], zero[0])
    return PosteriorSamples.of_one_group(z[None], torch.zeros(1, num), q, prior)


def learned(rho, num_steps=500):
    part = Factor(2, generator(0, "discriminator"), hidden=64, num_layers=2, learning_rate=3e-3)
    stream, about = generator(0, "codes"), context()
    for _ in range(num_steps):
        part(correlated(256, rho, stream), about)
        part.update()
    with torch.no_grad():
        return float(part(correlated(20_000, rho, stream), about))


def test_independent_latents_have_no_total_correlation_and_a_correlated_pair_has_that_of_its_normal():
    assert abs(learned(0.0)) < 0.05
    assert learned(RHO) == pytest.approx(-0.5 * math.log(1 - RHO**2), abs=0.1)


def test_shuffling_keeps_every_marginal_and_breaks_the_pairs():
    z = correlated(5000, RHO, generator(0, "codes")).z[0]
    shuffled = shuffled_latents(z, generator(0, "shuffle"))
    assert_close(shuffled.sort(0).values, z.sort(0).values)
    assert abs(float(torch.corrcoef(shuffled.T)[0, 1])) < 4 / math.sqrt(5000)


def test_the_models_gradient_leaves_the_discriminator_alone():
    part = Factor(2, generator(0, "discriminator"), hidden=8, num_layers=1)
    samples = correlated(16, RHO, generator(0, "codes"))
    z = samples.z.requires_grad_()
    part(samples, context()).backward()
    assert z.grad is not None
    assert z.grad.any()
    assert all(parameter.grad is None for parameter in part.discriminator.parameters())


def test_the_state_of_an_objective_is_restored_to_the_bit():
    objective = Objective(
        penalties={"factor": 5.0},
        penalty_options={"factor": {"hidden": 8, "num_layers": 2}},
        rate="geco",
        rate_options={"distortion": 3.0},
    )
    assert objective.term_names[-2:] == ("factor", "geco")
    one, other = objective.new_state(2, seed=0), objective.new_state(2, seed=1)
    assert list(one.parts) == ["geco", "factor"]
    stream, about = generator(0, "codes"), context()
    for _ in range(3):
        samples = correlated(16, RHO, stream)
        one.parts["factor"](samples, about)
        one.parts["geco"](samples)
        one.update()
    other.restore(one.tensors())
    restored = other.tensors()
    assert len(restored) > 10
    assert all(torch.equal(tensor, restored[name]) for name, tensor in one.tensors().items())
