"""Every closed form of a KL divergence is the mean of log q - log p over draws; other pairs are refused."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from torch.distributions import kl_divergence as reference_kl
from torch.testing import assert_close

from latent_priors import ALONE, prior_named
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import generator
from lowerbound.probability import kl
from lowerbound.probability.distributions import DiagonalNormal, PointMass
from lowerbound.probability.kl import KL, has_closed_form_kl, kl_divergence, register_kl
from lowerbound.probability.normals import FullNormal
from lowerbound.probability.posteriors import POSTERIORS
from lowerbound.probability.priors import PRIORS
from small_models import latents_for, size_in

pytestmark = pytest.mark.usefixtures("float64")

NUM_DRAWS = 40_000


def pair(posterior, prior):
    num = max(latents_for(posterior), latents(prior))
    family = POSTERIORS[posterior](num).eval()
    q = family(0.5 * torch.randn(4, *family.raw_shape, generator=generator(0, "raw")))
    return q, prior_named(prior, num)()


def latents(prior):
    return size_in(PRIORS[prior].space)


def share_a_space(names):
    """Codes are left out, because the prior of other weights has another codebook; so are priors of a context."""
    posterior, prior = POSTERIORS[names[0]], PRIORS[names[1]]
    return posterior.space == prior.space and not (posterior.is_deterministic or prior.takes_context)


KNOWN = [
    names
    for names in itertools.product(POSTERIORS, ALONE)
    if share_a_space(names) and has_closed_form_kl(*pair(*names))
]


@pytest.mark.parametrize("names", KNOWN, ids="-".join)
def test_a_closed_form_is_the_mean_log_ratio_of_draws(names):
    q, p = pair(*names)
    z = q.sample(generator(0, "draws"), NUM_DRAWS)
    log_ratio = q.log_prob(z) - p.log_prob(z)
    error = log_ratio.std(0) / math.sqrt(NUM_DRAWS)
    assert ((kl_divergence(q, p) - log_ratio.mean(0)).abs() <= 4.5 * error).all()


def test_the_divergence_of_a_full_covariance_is_that_of_torch():
    family = POSTERIORS["full-normal"](3)
    q = family(torch.randn(4, *family.raw_shape, generator=generator(0, "raw")))
    p = DiagonalNormal(torch.tensor([0.3, -1.0, 2.0]), torch.tensor([0.5, -0.2, 1.0]))
    expected = reference_kl(
        MultivariateNormal(q.mean, scale_tril=q.scale_tril), MultivariateNormal(p.mean, torch.diag(p.variance))
    )
    assert_close(kl_divergence(q, p), expected)


def test_a_pair_without_a_closed_form_is_refused_with_what_to_use():
    standard, mixture = PRIORS["standard-normal"](2)(), PRIORS["mixture-of-normals"](2)()
    point, normal = PointMass(torch.zeros(2)), DiagonalNormal(torch.zeros(2), torch.zeros(2))
    for q, p in ((point, standard), (normal, mixture), (FullNormal(torch.zeros(2), torch.eye(2)), mixture)):
        assert not has_closed_form_kl(q, p)
        with pytest.raises(ConfigError, match=f"{type(q).__name__}.*use objective.rate 'monte-carlo' or 'auto'"):
            kl_divergence(q, p)


def test_an_own_closed_form_is_used_once_it_is_registered(monkeypatch):
    monkeypatch.setattr(kl, "KL", dict(KL))
    register_kl(PointMass, DiagonalNormal, lambda q, p: q.mean.sum(-1))
    assert_close(kl_divergence(PointMass(torch.ones(4, 2)), PRIORS["standard-normal"](2)()), torch.full((4,), 2.0))
    with pytest.raises(ConfigError, match=r"KL\(PointMass \|\| DiagonalNormal\) already has a closed form"):
        register_kl(PointMass, DiagonalNormal, lambda q, p: q.mean.sum(-1))
