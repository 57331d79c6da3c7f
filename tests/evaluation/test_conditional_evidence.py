"""log p(x|y) of a conditional model by quadrature, importance weighting and annealing: closed forms, and each other."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from lowerbound.data.examples import Examples
from lowerbound.data.splits import Splits
from lowerbound.data.synthetic import orthogonal_linear_gaussian
from lowerbound.evaluation.annealing_metrics import annealing_metrics, bracket_metrics
from lowerbound.evaluation.bound_metrics import needs_few_contexts
from lowerbound.evaluation.config import AnnealingConfig, EvaluationConfig
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.quadrature import exact_evidence
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

SITE = Column(name="site", kind="categorical", levels=("A", "B", "C"))
SIGMA, DIMENSION, LATENTS, NUM = 0.8, 4, 2, 9


@pytest.fixture(scope="module", params=["standard-normal", "conditional-normal"])
def linear(request):
    """Examples, a linear Gaussian model given their site, and the exact log p(x|y) of each."""
    data = orthogonal_linear_gaussian(DIMENSION, LATENTS, SIGMA, generator(0, "data"))
    stream = generator(1, "shifts")
    shift = torch.randn(3, DIMENSION, generator=stream, dtype=torch.float64)
    centre = torch.randn(3, LATENTS, generator=stream, dtype=torch.float64)
    is_given = request.param == "conditional-normal"
    centre = centre if is_given else torch.zeros_like(centre)
    config = ModelConfig(
        hidden=(),
        latent_dim=LATENTS,
        likelihood="gaussian",
        likelihood_options={"sigma": SIGMA},
        prior=request.param,
        condition_on=("site",),
    )
    model = build_model(config, (DIMENSION,), generator(0, "weights"), conditions=[SITE]).eval()
    with torch.no_grad():
        model.likelihood.log_sigma.fill_(math.log(SIGMA))
        model.decoder.network.output.weight.copy_(torch.cat([data.weight, shift.T], 1))
        model.decoder.network.output.bias.copy_(data.bias)
        if is_given:
            model.prior.parameters_of.weight[:LATENTS] = centre.T
    y = torch.arange(NUM) % 3
    x = data.sample(NUM, generator(2, "x")).float()
    covariance = data.weight @ data.weight.T + SIGMA**2 * torch.eye(DIMENSION, dtype=torch.float64)
    mean = data.bias + shift[y] + centre[y] @ data.weight.T
    exact = MultivariateNormal(mean, covariance).log_prob(x.double())
    examples = Examples(x.numpy(), 1.0, layout="array", context=y[:, None].float().numpy())
    return model, examples, exact


def subject_of(model, examples):
    schema = Schema(layout="array", shape=(DIMENSION,), dtype="float32", conditions=(SITE,))
    splits = Splits("made", examples, examples, examples, (), "validation", "", "", "", schema=schema)
    annealing = AnnealingConfig(num_temperatures=200, num_chains=12, num_leapfrog=5)
    config = EvaluationConfig(annealing=annealing, num_annealed=NUM, num_simulated=4)
    return Subject(model, splits, config, "density")


def test_quadrature_integrates_every_context_alone(linear):
    model, examples, exact = linear
    found = exact_evidence(model, examples)
    assert found.has_converged.all()
    assert_close(found.log_evidence, exact, rtol=0, atol=1e-4)
    shuffled = np.random.default_rng(0).permutation(NUM)
    again = exact_evidence(model, examples.subset(shuffled))
    assert_close(again.log_evidence, exact[shuffled], rtol=0, atol=1e-4)


@pytest.mark.parametrize("linear", ["conditional-normal"], indirect=True)
def test_annealing_reaches_it_from_below(linear):
    model, examples, exact = linear
    measured = annealing_metrics(subject_of(model, examples))
    error = exact - torch.from_numpy(measured.arrays["annealed_evidence_per_image"]).double()
    assert error.mean().abs() < 0.1
    bracket = bracket_metrics(subject_of(model, examples)).arrays["annealing_bracket_per_image"]
    assert np.abs(bracket).max() < 0.5


def test_numbers_as_conditions_are_too_many_to_integrate(linear):
    model, examples, _ = linear
    many = Examples(
        np.zeros((60, DIMENSION), np.float32), 1.0, layout="array", context=np.arange(60, dtype=np.float32)[:, None]
    )
    assert needs_few_contexts(subject_of(model, examples)) == ""
    assert "60 different conditions" in needs_few_contexts(subject_of(model, many))
