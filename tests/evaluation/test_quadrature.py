"""The evidence by quadrature against closed forms: linear models, truncated normals, mixtures, enumeration."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import Tensor, nn
from torch.testing import assert_close

from linear_models import exact_model
from lowerbound.data.sources import Examples
from lowerbound.data.synthetic import GaussianMixture, LinearGaussian, orthogonal_linear_gaussian
from lowerbound.evaluation import lattice, quadrature
from lowerbound.evaluation.importance import effective_sample_size, log_weights
from lowerbound.evaluation.quadrature import exact_evidence, integrate
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.numerics import log_mean_exp
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Bernoulli
from mixtures import mixture

pytestmark = pytest.mark.usefixtures("float64")

TIGHT = 1e-7  # nats


def images(x: Tensor) -> Tensor:
    """Vectors as 1×1×dimension images."""
    return x[:, None, None, :]


def pixel_model(activation: str, seed: int = 0, event_shape: tuple[int, ...] = (1, 2, 2)) -> VAE:
    """A Bernoulli model with a strongly curved decoder: random weights, four times their usual size."""
    config = ModelConfig(hidden=(16,), latent_dim=2, activation=activation)
    model = build_model(config, event_shape, generator(seed, "weights")).double()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter *= 4
    return model


# ---- closed forms


def test_the_evidence_is_the_closed_form_of_the_linear_model(linear_gaussian):
    result = integrate(linear_gaussian.model, linear_gaussian.x, TIGHT)
    assert_close(result.log_evidence, linear_gaussian.log_evidence, rtol=0, atol=1e-6)
    assert (result.discretisation_error < TIGHT).all()
    assert (result.truncation_error < 1e-6).all()


@pytest.mark.parametrize(("latent_dim", "tolerance", "error"), [(1, TIGHT, 1e-6), (3, 1e-3, 1e-6)])
def test_the_evidence_is_the_closed_form_at_one_and_three_latents(latent_dim, tolerance, error):
    data = orthogonal_linear_gaussian(4, latent_dim, sigma=2.0, generator=generator(0, "data"))
    x = data.sample(3, generator(0, "examples"))
    result = integrate(exact_model(data), images(x), tolerance)
    assert_close(result.log_evidence, data.log_evidence(x), rtol=0, atol=error)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_posteriors_far_narrower_than_the_first_lattice_are_resolved(latent_dim):
    data = orthogonal_linear_gaussian(4, latent_dim, sigma=0.02, generator=generator(1, "data"))
    x = data.sample(6, generator(1, "examples"))
    result = integrate(exact_model(data), images(x), TIGHT)
    assert_close(result.log_evidence, data.log_evidence(x), rtol=0, atol=1e-6)
    assert (result.spacing < data.posterior_covariance().diagonal().min().sqrt()).all()


def test_slanted_posteriors_are_found_from_a_wrong_encoder():
    weight = torch.tensor([[1.0, 0.9], [-0.8, -0.9], [0.3, 0.35]])
    data = LinearGaussian(weight, torch.tensor([0.1, -0.2, 0.3]), sigma=0.05)
    x = data.sample(6, generator(0, "examples"))
    model = exact_model(data)
    model.encoder.heads.bias.data += 1.5
    result = integrate(model, images(x), TIGHT)
    assert_close(result.log_evidence, data.log_evidence(x), rtol=0, atol=1e-6)


def test_images_that_lie_beyond_the_priors_reach_are_covered_as_well():
    data = orthogonal_linear_gaussian(4, 2, sigma=0.3, generator=generator(0, "data"))
    x = torch.tensor([[9.3, -0.4], [-8.2, 10.1], [0.1, 0.2]]) @ data.weight.T + data.bias
    result = integrate(exact_model(data), images(x), TIGHT)
    assert_close(result.log_evidence, data.log_evidence(x), rtol=0, atol=1e-6)


# ---- several modes


class Folded(nn.Module):
    """Decodes |z - centre| in place of z, so that every image has a mode in each quadrant about the centre."""

    def __init__(self, decoder: nn.Module, centre: Tensor) -> None:
        super().__init__()
        self.decoder, self.centre = decoder, centre

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder((z - self.centre).abs())


def folded_evidence(data: LinearGaussian, centre: Tensor, x: Tensor) -> Tensor:
    """In each quadrant the model is linear: its evidence, times the posterior probability of the quadrant."""
    terms = []
    for signs in itertools.product([1.0, -1.0], repeat=2):
        sign = torch.tensor(signs)
        weight = data.weight * sign
        quadrant = LinearGaussian(weight, data.bias - weight @ centre, data.sigma)
        margin = sign * (quadrant.posterior_mean(x) - centre) / quadrant.posterior_covariance().diagonal().sqrt()
        terms.append(quadrant.log_evidence(x) + torch.special.log_ndtr(margin).sum(-1))
    return torch.stack(terms).logsumexp(0)


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_no_mode_is_missed_however_far_from_the_encoders(sigma):
    data = orthogonal_linear_gaussian(4, 2, sigma, generator(0, "data"))
    centre = torch.tensor([0.37, -0.21])
    z = torch.tensor([[1.3, 0.9], [0.6, 1.7], [2.1, 1.1], [1.0, 1.0]])
    x = z @ data.weight.T + data.bias + sigma * torch.randn(4, 4, generator=generator(0, "noise"))
    model = exact_model(data)
    model.decoder = Folded(model.decoder, centre)
    result = integrate(model, images(x), TIGHT)
    assert_close(result.log_evidence, folded_evidence(data, centre, x), rtol=0, atol=1e-6)


def test_any_prior_that_has_a_density_will_do():
    data, prior = orthogonal_linear_gaussian(3, 2, sigma=1.2, generator=generator(0, "data")), mixture()
    weights, variances = prior.logits.softmax(-1), prior.log_variances.exp()
    observed = GaussianMixture(weights, prior.means, torch.diag_embed(variances)).pushforward(data)
    x = observed.sample(6, generator(0, "examples"))
    model = exact_model(data)
    model.prior = prior
    result = integrate(model, images(x), TIGHT)
    assert_close(result.log_evidence, observed.log_evidence(x), rtol=0, atol=1e-6)


# ---- errors


def test_halving_again_changes_the_mean_less_than_the_stated_error_and_no_image_by_the_tolerance(linear_gaussian):
    pixels = torch.rand(20, 1, 2, 2, generator=generator(0, "pixels"))
    for model, x in ((linear_gaussian.model, linear_gaussian.x), (pixel_model("relu"), pixels)):
        coarse = integrate(model, x, tolerance=0.1)
        fine = integrate(model, x, tolerance=1e-4)
        assert (coarse.spacing >= fine.spacing).all()
        change = (coarse.log_evidence - fine.log_evidence).abs()
        rounding = 1e-10  # of sums near ten nats in 64 bits
        assert change.mean() <= coarse.discretisation_error.mean() + rounding
        assert (change < 0.1).all()


def test_no_importance_weighted_bound_lies_above_the_evidence_beyond_its_error():
    x = torch.rand(5, 1, 3, 3, generator=generator(0, "pixels"))
    for seed in range(3):
        model = pixel_model("relu", seed, event_shape=(1, 3, 3))
        log_weight = log_weights(model, x, 4000, generator(seed, "draws"), chunk=500)
        standard_error = (1 / effective_sample_size(log_weight) - 1 / 4000).sqrt()
        evidence = integrate(model, x, tolerance=1e-3)
        error = evidence.discretisation_error + evidence.truncation_error
        assert (log_mean_exp(log_weight, dim=0) <= evidence.log_evidence + error + 4 * standard_error).all()
        elbo, elbo_error = log_weight.mean(0), log_weight.std(0) / math.sqrt(4000)
        assert (elbo <= evidence.log_evidence + error + 4 * elbo_error).all()


def test_the_stated_truncation_holds_when_the_lattice_is_made_too_small(linear_gaussian, monkeypatch):
    monkeypatch.setattr(lattice, "PRIOR_RADIUS", 2)
    monkeypatch.setattr(lattice, "POSTERIOR_RADIUS", 0)
    # The integrand is cut off before it vanishes, so that the midpoint rule is of second order only.
    result = integrate(linear_gaussian.model, linear_gaussian.x, tolerance=1e-3)
    missed = linear_gaussian.log_evidence - result.log_evidence
    assert (missed > 1e-2).any()
    assert (missed <= result.truncation_error + result.discretisation_error).all()


def linear_of_posterior(deviation: float, latent_dim: int) -> LinearGaussian:
    """A model whose posteriors have this standard deviation, or a little more along the latents after the first."""
    sigma = 1e-3 if deviation < 0.1 else 0.1
    directions, _ = torch.linalg.qr(torch.randn(4, latent_dim, generator=generator(0, "directions")))
    deviations = (deviation * torch.linspace(1, 1.4, latent_dim)).clamp(max=1)
    return LinearGaussian(directions * sigma * (1 / deviations**2 - 1).sqrt(), torch.randn(4), sigma)


def check_convergence(deviation: float, latent_dim: int, num_images: int) -> None:
    data = linear_of_posterior(deviation, latent_dim)
    x = data.sample(num_images, generator(1, "examples"))
    result = integrate(exact_model(data), images(x))
    assert result.has_converged.all()
    rounding = 1e-6  # of squares of thousands of standard deviations, in float64
    missed = (result.log_evidence - data.log_evidence(x)).abs()
    assert (missed <= result.discretisation_error + rounding).all()
    assert (result.discretisation_error < quadrature.TOLERANCE).all()


@pytest.mark.parametrize(
    ("deviation", "latent_dim", "num_images"),
    [(1e-4, 1, 30), (0.05, 1, 100), (1.0, 1, 10), (1e-4, 2, 10), (0.02, 2, 30), (1.0, 2, 5), (1e-2, 3, 2)],
)
def test_the_stated_error_bounds_what_is_missed_image_by_image(deviation, latent_dim, num_images):
    check_convergence(deviation, latent_dim, num_images)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("num_images", [10, 1000, 10_000])
@pytest.mark.parametrize("latent_dim", [1, 2, 3])
@pytest.mark.parametrize("deviation", [1e-4, 3e-4, 1e-3, 1e-2, 0.1, 1.0])
def test_the_stated_error_bounds_what_is_missed_at_any_width_and_number_of_images(deviation, latent_dim, num_images):
    check_convergence(deviation, latent_dim, num_images)


def test_every_image_brings_tiles_of_its_own(monkeypatch):
    monkeypatch.setattr(quadrature, "MAX_TILES", 0)
    check_convergence(1e-3, 2, 10)


def test_images_in_groups_have_the_evidence_of_all_together(linear_gaussian, monkeypatch):
    together = integrate(linear_gaussian.model, linear_gaussian.x, 1e-4)
    monkeypatch.setattr(quadrature, "MAX_PAIRS", 2000)
    in_groups = integrate(linear_gaussian.model, linear_gaussian.x, 1e-4)
    assert in_groups.num_decoded > 2 * together.num_decoded
    assert_close(in_groups.log_evidence, together.log_evidence)
    assert_close(in_groups.discretisation_error, together.discretisation_error)


def test_examples_are_held_as_floats_some_at_a_time(linear_gaussian, monkeypatch):
    values = linear_gaussian.x.permute(0, 2, 3, 1).float().numpy()
    examples = Examples(values, 1.0)
    together = exact_evidence(linear_gaussian.model.float(), examples)
    monkeypatch.setattr(quadrature, "MAX_VALUES", 3 * 6)
    in_parts = exact_evidence(linear_gaussian.model.float(), examples)
    assert_close(in_parts.log_evidence, together.log_evidence)
    assert in_parts.has_converged.all()
    assert in_parts.num_not_converged == 0
    assert in_parts.tolerance == quadrature.TOLERANCE


def test_beyond_the_budget_the_sums_of_level_0_are_given_and_nothing_is_claimed_of_them(linear_gaussian, monkeypatch):
    monkeypatch.setattr(quadrature, "MAX_TILES", 0)
    monkeypatch.setattr(quadrature, "TILES_PER_AXIS", 0)
    result = integrate(linear_gaussian.model, linear_gaussian.x, TIGHT)
    assert_close(result.log_evidence, linear_gaussian.log_evidence, rtol=0, atol=1e-3)
    assert (result.spacing == 1 / 8).all()
    assert result.discretisation_error.isinf().all()
    assert not result.has_converged.any()
    assert result.num_not_converged == len(linear_gaussian.x)


class Bent(nn.Module):
    """Decodes z below 0 as it stands, and a thousand times as steeply above."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.where(z < 0, z, 1000 * z).reshape(-1, 1, 1, 1)


def test_images_end_one_by_one(monkeypatch):
    model = exact_model(LinearGaussian(torch.ones(1, 1), torch.zeros(1), 0.3))
    model.decoder = Bent()
    x = torch.tensor([-2.0, 700.0, -2.5, 900.0]).reshape(-1, 1, 1, 1)
    monkeypatch.setattr(quadrature, "MAX_LEVEL", 3)
    assert integrate(model, x).has_converged.tolist() == [True, False, True, False]
    monkeypatch.undo()
    result = integrate(model, x)
    assert result.has_converged.all()
    # Below zero nothing of the steep part counts, and above it nothing of the other.
    gentle = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 0.3).log_evidence(x[::2].flatten(1))
    steep = LinearGaussian(torch.full((1, 1), 1000.0), torch.zeros(1), 0.3).log_evidence(x[1::2].flatten(1))
    assert_close(result.log_evidence[::2], gentle, rtol=0, atol=1e-3)
    assert_close(result.log_evidence[1::2], steep, rtol=0, atol=1e-3)


class Spiked(nn.Module):
    """Decodes 8 everywhere but within a few widths of one place, and 0 there."""

    place, width = 0.7531, 1e-4

    def forward(self, z: Tensor) -> Tensor:
        distance = (z - self.place) / self.width
        return (8 * -torch.expm1(-0.5 * distance.square().sum(-1))).reshape(-1, 1, 1, 1)


class Pointing(nn.Module):
    """Encodes everything at one place."""

    def __init__(self, mean: float, deviation: float, latent_dim: int) -> None:
        super().__init__()
        self.heads = torch.cat([torch.full((latent_dim,), mean), torch.full((latent_dim,), 2 * math.log(deviation))])

    def forward(self, x: Tensor) -> Tensor:
        return self.heads.expand(len(x), -1)


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("widths_off", [0.0, 2.0])
def test_a_spike_that_no_slope_leads_to_is_found_where_the_encoder_points(latent_dim, widths_off):
    model = exact_model(LinearGaussian(torch.ones(1, latent_dim), torch.zeros(1), 1.0))
    model.decoder = Spiked()
    model.encoder = Pointing(Spiked.place + widths_off * Spiked.width / math.sqrt(latent_dim), 1e-4, latent_dim)
    result = integrate(model, torch.zeros(1, 1, 1, 1))
    assert result.has_converged.all()
    # On the spike the prior is flat, and the integral is radial.
    radius = np.linspace(0, 12, 200_001)[1:]
    shell = {1: 2.0, 2: 2 * math.pi * radius}[latent_dim] * Spiked.width**latent_dim
    height = np.exp(-0.5 * (8 * -np.expm1(-0.5 * radius**2)) ** 2) - math.exp(-32)
    prior = math.exp(-0.5 * latent_dim * Spiked.place**2) / (2 * math.pi) ** (latent_dim / 2)
    spike = prior * trapezoid(shell * height, radius)
    expected = math.log(spike + math.exp(-32)) - 0.5 * math.log(2 * math.pi)
    assert float(result.log_evidence[0]) == pytest.approx(expected, abs=float(result.discretisation_error[0]) + 1e-4)


# ---- grey pixels


def test_grey_evidence_lies_between_the_elbo_and_the_mean_binarised_evidence():
    model = pixel_model("tanh")  # a smooth integrand
    grey = torch.rand(12, 1, 2, 2, generator=generator(0, "grey"))
    binary = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).reshape(16, 1, 2, 2)
    evidence = integrate(model, torch.cat([grey, binary]), tolerance=1e-5).log_evidence
    grey_evidence, binary_evidence = evidence.split([12, 16])
    assert_close(binary_evidence.exp().sum(), torch.tensor(1.0))  # p(x) over all binary images
    probability = Bernoulli(torch.logit(grey), event_ndim=3).log_prob_table(binary).exp().T
    mean_binarised = probability @ binary_evidence
    assert (grey_evidence < mean_binarised).all()
    log_weight = log_weights(model, grey, 2000, generator(0, "draws"), chunk=2000)
    assert (log_weight.mean(0) <= grey_evidence + 4 * log_weight.std(0) / math.sqrt(2000)).all()


# ---- images, and what is refused


def test_images_in_32_bits_have_the_evidence_of_64_to_a_thousandth_of_a_nat():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 6, 5, 1), dtype=np.uint8)
    model = build_model(ModelConfig(hidden=(8,)), (1, 6, 5), generator(0, "weights")).float()
    single = exact_evidence(model, Examples(pixels, 255.0))
    x = torch.from_numpy(pixels.transpose(0, 3, 1, 2) / 255)
    double = integrate(model.double(), x)
    assert single.log_evidence.dtype == torch.float64
    assert_close(single.log_evidence, double.log_evidence, rtol=0, atol=1e-3)
    assert single.num_decoded >= 14**2 * 64
    assert single.num_evaluated >= 30 * 14**2 * 64


def test_an_images_evidence_does_not_depend_on_the_other_images(linear_gaussian, monkeypatch):
    together = integrate(linear_gaussian.model, linear_gaussian.x, 1e-3)
    monkeypatch.setattr(lattice, "PAIRS_PER_TABLE", 3)
    in_pieces = integrate(linear_gaussian.model, linear_gaussian.x, 1e-3)
    alone = integrate(linear_gaussian.model, linear_gaussian.x[2:3], 1e-3)
    assert_close(in_pieces.log_evidence, together.log_evidence)
    assert in_pieces.num_decoded == together.num_decoded
    assert_close(alone.log_evidence[0], together.log_evidence[2])


@pytest.mark.parametrize(
    ("options", "tolerance", "reason"),
    [
        ({"posterior": "point-mass"}, 1e-2, "deterministic autoencoder has no evidence"),
        ({"latent_dim": 4}, 1e-2, "1 to 3 latents, got 4.*importance-weighted"),
        ({}, 0.0, "tolerance needs a positive number"),
    ],
)
def test_what_has_no_evidence_by_quadrature_is_refused_with_the_reason(options, tolerance, reason):
    model = build_model(ModelConfig(hidden=(4,), **options), (1, 2, 2), generator(0, "weights")).double()
    with pytest.raises(ConfigError, match=reason):
        integrate(model, torch.zeros(1, 1, 2, 2), tolerance)
