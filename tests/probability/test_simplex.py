"""The logistic normal: its density over the simplex, its KL, and that no component is special."""

import math

import pytest
import torch
from torch.testing import assert_close

from integrals import total_mass
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.probability.kl import kl_divergence
from lowerbound.probability.posteriors import LogisticNormalPosterior
from lowerbound.probability.priors import LogisticNormalPrior
from lowerbound.probability.simplex import LogisticNormal, basis, coordinates, on_simplex

pytestmark = pytest.mark.usefixtures("float64")


def some(num=4, components=3):
    raw = torch.randn(num, 2 * (components - 1), generator=generator(0, "raw"))
    return LogisticNormalPosterior(components)(raw)


def test_the_density_integrates_to_one_over_the_first_two_of_three_components():
    q = LogisticNormal(torch.tensor([0.7, -0.4]), torch.tensor([-0.5, 0.3]))

    def log_prob(unit):  # (u, v) -> (u, (1 - u) v), whose volume is 1 - u
        first, second = unit[:, 0], (1 - unit[:, 0]) * unit[:, 1]
        z = torch.stack([first, second, 1 - first - second], -1)
        return q.log_prob(z) + (1 - first).log()

    assert total_mass(log_prob, [1e-9, 1e-9], [1 - 1e-9, 1 - 1e-9], [0.4, 0.5]) == pytest.approx(1, abs=1e-6)


def test_two_components_are_a_logit_normal():
    q, share = LogisticNormal(torch.tensor([0.3]), torch.tensor([0.2])), torch.tensor([0.15, 0.6])
    z = torch.stack([share, 1 - share], -1)
    logit = torch.logit(share)
    normal = torch.distributions.Normal(0.3 * math.sqrt(2), math.exp(0.1) * math.sqrt(2))
    assert_close(q.log_prob(z), normal.log_prob(logit) - (share * (1 - share)).log())


@pytest.mark.parametrize("concentration", [1.0, 0.3, 7.0])
def test_the_kl_is_the_mean_log_ratio_of_draws(concentration):
    q, p = some(components=5), LogisticNormalPrior(5, concentration)()
    z = q.sample(generator(0, "z"), 40_000)
    log_ratio = q.log_prob(z) - p.log_prob(z)
    assert ((kl_divergence(q, p) - log_ratio.mean(0)).abs() <= 4.5 * log_ratio.std(0) / math.sqrt(len(z))).all()


def test_a_point_has_its_own_coordinates_and_draws_lie_on_the_simplex():
    n = torch.randn(50, 4, generator=generator(0, "n"))
    z = on_simplex(n)
    assert_close(coordinates(z)[0], n)
    assert_close(z.sum(-1), torch.ones(50))
    assert_close(some().centre, on_simplex(some().location))


def test_the_prior_prefers_no_component():
    p = LogisticNormalPrior(4, 2.0)()
    z = p.sample(generator(0, "z"), 20)
    assert_close(p.log_prob(z), p.log_prob(z[:, [2, 0, 3, 1]]))
    assert_close(p.centre, torch.full((4,), 0.25))


def test_the_concentration_is_that_of_the_laplace_approximation_of_a_dirichlet():
    components, concentration = 6, 2.5
    variance = LogisticNormalPrior(components, concentration)().normal.variance
    covariance = basis(components) @ torch.diag(variance) @ basis(components).T
    # Srivastava and Sutton, arXiv:1703.01488, Section 3.2, for equal parameters.
    expected = (1 - 2 / components) / concentration + 1 / (components * concentration)
    assert_close(covariance.diagonal(), torch.full((components,), expected))


def test_nothing_is_nan_in_single_precision_in_the_corners():
    raw = torch.tensor([[1e9, 1e9, -1e9, 1e9], [0.0, -1e9, 0.0, 1e9]], dtype=torch.float32, requires_grad=True)
    q, p = LogisticNormalPosterior(3)(raw), LogisticNormalPrior(3).float()()
    z = q.sample(generator(0, "z"), 2000)
    for values in (z, q.log_prob(z), p.log_prob(z), kl_divergence(q, p)):
        assert values.isfinite().all()
    (gradient,) = torch.autograd.grad((q.log_prob(z) - p.log_prob(z)).sum(), raw)
    assert gradient.isfinite().all()


def test_temperature_zero_is_the_middle_and_a_row_draws_alike_whatever_its_company():
    assert_close(LogisticNormalPrior(4).sample(generator(0, "z"), 2, temperature=0.0), torch.full((2, 4), 0.25))
    x = torch.rand(4, 5, generator=generator(0, "x"))
    together = some().sample_by_row(content_noise(x, 0, "test"), 3)
    q = some()
    alone = LogisticNormal(q.location[1:2], q.log_variance[1:2]).sample_by_row(content_noise(x[1:2], 0, "test"), 3)
    assert torch.equal(together[:, 1:2], alone)


@pytest.mark.parametrize("moment", ["mean", "mode", "variance"])
def test_moments_without_a_closed_form_are_refused(moment):
    with pytest.raises(ConfigError, match="no closed form"):
        getattr(some(), moment)
    assert_close(some().log_prob_table(some().centre), some().log_prob(some().centre.unsqueeze(1)))
