"""One-hot codes: hard and relaxed draws, exact ELBO and evidence by enumeration, the bias of relaxed gradients."""

import math

import pytest
import torch
from torch.testing import assert_close

from lowerbound.evaluation.importance import log_weights
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives.terms import estimate_terms
from lowerbound.probability.kl import kl_divergence
from lowerbound.probability.one_hot import CategoricalCodes, RelaxedCodes, gumbel_of_normal
from lowerbound.probability.posteriors import GumbelSoftmaxPosterior
from lowerbound.probability.priors import UniformCategoricalPrior

pytestmark = pytest.mark.usefixtures("float64")

NUM_CATEGORIES = 10


def logits(num=4, groups=2, categories=3, scale=1.0):
    return scale * torch.randn(num, groups, categories, generator=generator(0, "logits"))


@pytest.fixture
def model():
    config = ModelConfig(hidden=(8,), latent_dim=NUM_CATEGORIES, posterior="gumbel-softmax")
    return build_model(config, (1, 3, 3), generator(0, "weights")).double().eval().requires_grad_(False)


@pytest.fixture
def x():
    return torch.rand(3, 1, 3, 3, generator=generator(0, "x")).round()


def enumerated(model, x):
    """log p(x|z) of every code, [code, batch]."""
    return torch.stack([model.decode(code.expand(len(x), -1)).log_prob(x) for code in torch.eye(NUM_CATEGORIES)])


def test_the_evidence_by_importance_sampling_is_that_of_enumerating_the_codes(model, x):
    exact = enumerated(model, x).logsumexp(0) - math.log(NUM_CATEGORIES)
    weights = log_weights(model, x, 2000, content_noise(x, 0, "test"), 1000).exp()
    error = weights.std(0) / math.sqrt(len(weights))
    assert ((weights.mean(0) - exact.exp()).abs() <= 4 * error).all()


def test_the_elbo_in_evaluation_mode_is_that_of_enumerating_the_codes(model, x):
    q = model.encode(x).mean
    rate = (q * (q.log() + math.log(NUM_CATEGORIES))).sum(-1)
    exact = (q.T * enumerated(model, x)).sum(0) - rate
    terms = estimate_terms(model, x, content_noise(x, 0, "test"), 1000)
    assert_close(terms.rate, rate)
    assert ((terms.elbo - exact).abs() <= 4 * terms.elbo_standard_error).all()


def test_the_relaxed_gradient_approaches_the_enumerated_one_as_the_temperature_falls():
    scores = torch.tensor([0.0, 1.0, 3.0])  # f(z) = (z · scores)², which is not linear in z
    start = torch.tensor([[0.3, -0.2, 0.1]])
    exact = torch.autograd.functional.jacobian(lambda t: (t.softmax(-1) * scores**2).sum(), start)
    bias = []
    for temperature in (2.0, 1.0, 0.5, 0.1):
        wanted = start.clone().requires_grad_()
        z = RelaxedCodes(wanted, temperature=temperature).sample(generator(0, "z"), 400_000)
        (gradient,) = torch.autograd.grad(((z @ scores) ** 2).mean(), wanted)
        bias.append(float((gradient - exact).norm() / exact.norm()))
    assert bias[0] > 1.3 * bias[1] > 2 * bias[2]
    assert bias[3] < 0.05


def test_draws_are_codes_with_the_probabilities_of_their_categories():
    q = CategoricalCodes(logits())
    z = q.sample(generator(0, "z"), 40_000)
    groups = z.unflatten(-1, (2, 3))
    assert ((groups == 0) | (groups == 1)).all() and (groups.sum(-1) == 1).all()
    error = (q.variance / len(z)).sqrt()
    assert ((z.mean(0) - q.mean).abs() <= 4.5 * error).all()
    centred = z - z.mean(0)
    assert_close(torch.einsum("sbi,sbj->bij", centred, centred) / len(z), q.covariance, rtol=0, atol=0.015)
    assert_close(q.log_prob(z), (z * q.mean.log()).sum(-1))
    assert_close(q.log_prob_table(z[:5, 0]), q.log_prob(z[:5, 0].unsqueeze(1)))


def test_the_kl_is_that_of_torch():
    q, p = CategoricalCodes(logits()), CategoricalCodes(logits(1)[0])
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=q.logits), torch.distributions.Categorical(logits=p.logits)
    ).sum(-1)
    assert_close(kl_divergence(q, p), expected)


def test_training_draws_relaxed_codes_and_evaluation_hard_ones():
    posterior = GumbelSoftmaxPosterior(6, num_categories=3, temperature=0.7)
    raw = logits().flatten(1)
    relaxed = posterior(raw).sample(generator(0, "z"), 1)
    assert ((relaxed > 0) & (relaxed < 1)).all()
    assert_close(relaxed.unflatten(-1, (2, 3)).sum(-1), torch.ones(1, 4, 2))
    hard = posterior.eval()(raw).sample(generator(0, "z"), 1)
    assert torch.equal(hard, CategoricalCodes(relaxed.unflatten(-1, (2, 3))).mode)


def test_straight_through_draws_are_codes_with_the_gradient_of_relaxed_ones():
    values, gradients = [], []
    for straight_through in (True, False):
        wanted = logits().requires_grad_()
        z = RelaxedCodes(wanted, temperature=0.5, straight_through=straight_through).sample(generator(0, "z"), 1)
        gradients.append(torch.autograd.grad((z * torch.arange(6.0)).sum(), wanted)[0])
        values.append(z.detach())
    assert_close(values[0], values[0].round())
    assert_close(*gradients)


def test_nothing_is_nan_for_extreme_logits_in_single_precision():
    wanted = torch.tensor([[[1e30, -1e30, 0.0]], [[0.0, 0.0, 0.0]]], dtype=torch.float32, requires_grad=True)
    q = RelaxedCodes(wanted, temperature=0.01)
    z = q.sample(generator(0, "z"), 1000)
    rate = kl_divergence(q, UniformCategoricalPrior(3, 3).float()())
    (gradient,) = torch.autograd.grad(z.sum() + rate.sum(), wanted)
    for values in (z, rate, gradient):
        assert values.isfinite().all()


def test_gumbel_variates_have_their_distribution():
    normal = torch.linspace(-8, 8, 33)
    assert_close(torch.exp(-torch.exp(-gumbel_of_normal(normal))), torch.special.ndtr(normal))
    assert gumbel_of_normal(normal.float()).isfinite().all()


def test_a_row_draws_alike_whatever_its_company():
    x = torch.rand(4, 5, generator=generator(0, "x"))
    together = CategoricalCodes(logits()).sample_by_row(content_noise(x, 0, "test"), 3)
    alone = CategoricalCodes(logits()[1:2]).sample_by_row(content_noise(x[1:2], 0, "test"), 3)
    assert torch.equal(together[:, 1:2], alone)


def test_a_relaxed_code_has_no_log_density_and_says_what_to_train_with():
    q = RelaxedCodes(logits())
    with pytest.raises(ConfigError, match=r"objective\.bound 'elbo'"):
        q.log_prob(q.sample(generator(0, "z"), 1))
