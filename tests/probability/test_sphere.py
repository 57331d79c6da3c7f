"""The power spherical distribution: density, moments, entropy and gradients, against integrals and exact formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaln
from torch.testing import assert_close

from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.probability.kl import kl_divergence
from lowerbound.probability.posteriors import PowerSphericalPosterior
from lowerbound.probability.priors import UniformOnSpherePrior
from lowerbound.probability.sphere import PowerSpherical, UniformOnSphere, gamma_of_normal, log_area

pytestmark = pytest.mark.usefixtures("float64")

DRAWS = [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)]


def around(direction, kappa, **kinds):
    direction = torch.as_tensor(direction, **kinds)
    return PowerSpherical(direction / direction.norm(), torch.tensor(float(kappa), **kinds))


def log_ring(w, dim):
    """Log of the area of the sphere whose cosine to a fixed direction is w, per unit of w."""
    return log_area(dim - 1) + 0.5 * (dim - 3) * np.log1p(-w * w)


@pytest.mark.parametrize("dim", [3, 4, 5, 20])
@pytest.mark.parametrize("kappa", [0.0, 0.7, 12.0])
def test_the_density_integrates_to_one_over_the_sphere_and_its_kl_is_the_integral(dim, kappa):
    direction = torch.randn(dim, generator=generator(0, "direction"))
    q, prior = around(direction, kappa), UniformOnSphere(torch.zeros(dim))
    across = torch.linalg.qr(torch.stack([q.direction, torch.randn(dim, generator=generator(0, "v"))], 1))[0][:, 1]

    def log_q(w):
        return float(q.log_prob(w * q.direction + math.sqrt(1 - w * w) * across))

    mass, _ = quad(lambda w: math.exp(log_q(w) + log_ring(w, dim)), -1, 1)
    assert mass == pytest.approx(1, abs=1e-8)
    expected, _ = quad(lambda w: math.exp(log_q(w) + log_ring(w, dim)) * (log_q(w) + log_area(dim)), -1, 1)
    assert float(kl_divergence(q, prior)) == pytest.approx(expected, abs=1e-7)


def test_the_circle_has_a_density_too():
    q = around([0.6, -0.8], 3.0)
    angle = torch.linspace(0, 2 * math.pi, 20_001)[:-1]
    density = q.log_prob(torch.stack([angle.cos(), angle.sin()], -1)).exp()
    assert float(density.mean()) * 2 * math.pi == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("dim", [2, 3, 7])
def test_the_area_is_that_of_the_sphere(dim):
    assert log_area(dim) == pytest.approx(math.log(2) + dim / 2 * math.log(math.pi) - gammaln(dim / 2))


@pytest.mark.parametrize("num_draws", DRAWS)
@pytest.mark.parametrize("dim", [3, 5, 20])
def test_the_mean_cosine_and_its_gradient_in_the_concentration_are_exact(dim, num_draws):
    kappa, direction = 2.0, torch.eye(dim)[0]
    concentration = torch.full((num_draws,), kappa, requires_grad=True)  # one for each draw, so that errors are known
    w = PowerSpherical(direction.expand(num_draws, dim), concentration).sample(generator(0, "z"), 1)[0, :, 0]
    (gradient,) = torch.autograd.grad(w.sum(), concentration)
    for values, expected in ((w.detach(), kappa / (kappa + dim - 1)), (gradient, (dim - 1) / (kappa + dim - 1) ** 2)):
        assert abs(float(values.mean()) - expected) <= 4 * float(values.std()) / math.sqrt(num_draws)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_the_gradient_in_the_direction_is_that_of_the_mean(dim):
    num_draws, kappa = 50_000, 4.0
    raw = torch.randn(dim, generator=generator(1, "raw")).expand(num_draws, dim).clone().requires_grad_()
    a = torch.randn(dim, generator=generator(2, "a"))
    z = PowerSpherical(raw / raw.norm(dim=-1, keepdim=True), torch.tensor(kappa).expand(num_draws)).sample(
        generator(0, "z"), 1
    )[0]
    (gradient,) = torch.autograd.grad((z @ a).sum(), raw)
    one = raw[0].detach()
    unit = one / one.norm()
    expected = kappa / (kappa + dim - 1) * (a - (a @ unit) * unit) / one.norm()
    assert ((gradient.mean(0) - expected).abs() <= 4 * gradient.std(0) / math.sqrt(num_draws) + 1e-12).all()


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_draws_have_the_covariance_that_is_claimed(dim):
    q = around(torch.randn(dim, generator=generator(3, "mu")), 5.0)
    z = q.sample(generator(0, "z"), 50_000)
    assert_close(z.norm(dim=-1), torch.ones(len(z)))
    assert_close(z.mean(0), q.mean, rtol=0, atol=1e-2)
    assert_close(torch.cov(z.T), q.covariance, rtol=0, atol=1e-2)
    assert_close(q.variance, q.covariance.diagonal())


@pytest.mark.parametrize("dim", [2, 3, 128])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 1e4, 1e7])
def test_nothing_is_nan_in_single_precision_also_at_a_pole(dim, kappa):
    direction = torch.eye(dim, dtype=torch.float32)[:1].clone().requires_grad_()
    concentration = torch.tensor([kappa], dtype=torch.float32, requires_grad=True)
    q = PowerSpherical(direction, concentration)
    z = q.sample(generator(0, "z"), 5000)
    assert z.dtype == torch.float32
    assert float((z.detach().norm(dim=-1) - 1).abs().max()) < 1e-6
    total = z.sum() + q.log_prob(z).sum() + kl_divergence(q, UniformOnSphere(torch.zeros(dim))).sum()
    for gradient in torch.autograd.grad(total, (direction, concentration)):
        assert gradient.isfinite().all()
    assert total.isfinite()
    assert q.log_prob(-direction).isfinite().all()


def test_a_raw_direction_of_zeros_is_the_first_axis_and_the_concentration_has_a_floor_and_a_ceiling():
    posterior = PowerSphericalPosterior(3, min_concentration=0.5)
    q = posterior(torch.tensor([[0.0, 0, 0, -1e4], [0, 3, 4, 1e12]]))
    assert_close(q.direction, torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]]))
    assert_close(q.concentration, torch.tensor([0.5, 1e7]))


def test_a_row_draws_alike_whatever_its_company_and_as_from_a_generator():
    x = torch.rand(6, 4, generator=generator(0, "x"))
    direction = torch.nn.functional.normalize(torch.randn(6, 3, generator=generator(0, "mu")), dim=-1)
    q = PowerSpherical(direction, torch.arange(1.0, 7))
    together = q.sample_by_row(content_noise(x, 0, "test"), 3)
    alone = PowerSpherical(direction[2:3], torch.tensor([3.0])).sample_by_row(content_noise(x[2:3], 0, "test"), 3)
    assert torch.equal(together[:, 2:3], alone)


def test_gamma_variates_have_the_distribution_of_their_shape():
    normal = torch.randn(10_000, generator=generator(0, "n"))
    for shape in (0.5, 3.0, 400.0):
        values = gamma_of_normal(torch.tensor(shape), normal)
        uniform = torch.special.gammainc(torch.tensor(shape), values)
        assert_close(uniform, torch.special.ndtr(normal), rtol=0, atol=1e-9)


def test_the_uniform_prior_is_uniform_and_has_quantiles_of_its_coordinates():
    prior = UniformOnSpherePrior(4)
    z = prior.sample(generator(0, "z"), 3000)
    assert_close(z.norm(dim=-1), torch.ones(3000))
    assert_close(prior.log_prob(z), torch.full((3000,), -math.log(2 * math.pi**2)))
    quantiles = prior.quantiles(torch.tensor([0.1, 0.5]))
    for probability, place in zip((0.1, 0.5), quantiles, strict=True):
        below = (z < place).double().mean(0)
        assert ((below - probability).abs() < 4.5 * math.sqrt(probability * (1 - probability) / 3000)).all()


def test_all_pairs_are_scored_as_one_by_one():
    direction = UniformOnSphere(torch.zeros(3)).sample(generator(0, "mu"), 5)
    q, z = PowerSpherical(direction, torch.ones(5)), UniformOnSphere(torch.zeros(3)).sample(generator(0, "z"), 4)
    assert_close(q.log_prob_table(z), q.log_prob(z.unsqueeze(1)))
