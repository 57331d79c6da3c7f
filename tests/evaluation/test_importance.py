"""Importance weights against closed forms, their bounds against Jensen's inequality, Pareto k against scipy."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from linear_models import exact_model
from lowerbound.data.sources import Examples
from lowerbound.data.synthetic import orthogonal_linear_gaussian
from lowerbound.evaluation import importance
from lowerbound.evaluation.importance import (
    bound_sweep,
    effective_sample_size,
    importance_sweep,
    log_weights,
    pareto_k,
)
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.numerics import log_mean_exp, mean_and_standard_error
from lowerbound.foundation.seeding import content_noise, generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model

pytestmark = pytest.mark.usefixtures("float64")


# ---- weights


@pytest.fixture(scope="module", params=[(2, 0.5), (50, 0.1)], ids=["2 latents", "50 latents"])
def repeats(request, float64):
    """Log-weights over p(x) of one image: 10,000 repeats of ten draws from a posterior that is too wide."""
    latent_dim, log_widening = request.param
    data = orthogonal_linear_gaussian(latent_dim + 4, latent_dim, sigma=0.7, generator=generator(0, "data"))
    x = data.sample(1, generator(0, "examples"))
    same = x[:, None, None, :].expand(10_000, -1, -1, -1)
    log_weight = log_weights(exact_model(data, log_widening), same, 10, generator(0, "draws"), chunk=10)
    return log_weight - data.log_evidence(x)


def test_weights_average_to_the_evidence_in_linear_space(repeats):
    ratio = mean_and_standard_error(repeats.exp().mean(0))
    assert 1e-3 < ratio.standard_error < 5e-3  # the weights do vary, and their mean is known well
    assert abs(ratio.value - 1) < 4 * ratio.standard_error


def test_the_log_of_their_mean_falls_short_the_less_the_more_draws_there_are(repeats):
    short = [mean_and_standard_error(log_mean_exp(repeats[:k], dim=0)) for k in (1, 10)]
    assert short[0].value + 4 * short[0].standard_error < short[1].value
    assert short[1].value + 4 * short[1].standard_error < 0


def test_every_log_weight_is_the_log_evidence_where_the_posterior_is_exact(linear_gaussian):
    log_weight = log_weights(linear_gaussian.model, linear_gaussian.x, 30, generator(0, "draws"), chunk=7)
    assert_close(log_weight, linear_gaussian.log_evidence.expand(30, -1))
    assert_close(effective_sample_size(log_weight), torch.full((8,), 30.0))
    assert (pareto_k(log_weight) == 0).all()


@pytest.mark.parametrize("chunk", [1, 3, 10, 11])
def test_weights_do_not_depend_on_how_many_draws_are_decoded_at_once(linear_gaussian, chunk):
    model = linear_gaussian.with_posterior_moved(0.1, 0.3)
    expected = log_weights(model, linear_gaussian.x, 10, generator(0, "draws"), chunk=5)
    assert expected.shape == (10, 8)
    assert expected.std(0).min() > 0.01
    assert_close(log_weights(model, linear_gaussian.x, 10, generator(0, "draws"), chunk), expected)


def test_an_images_weights_do_not_depend_on_the_other_images(linear_gaussian):
    model = linear_gaussian.with_posterior_moved(0.1, 0.3)
    others = linear_gaussian.x.flip(0).clone()
    others[2] = linear_gaussian.x[2]
    expected = log_weights(model, linear_gaussian.x, 10, generator(0, "draws"), chunk=5)
    found = log_weights(model, others, 10, generator(0, "draws"), chunk=5)
    assert_close(found[:, 2], expected[:, 2])
    assert ((found - expected).abs().amin(0) > 0.5).sum() == 7


class Folded(nn.Module):
    """Decodes |z| in place of z, so that every image has a second mode, at -z."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, z: Tensor) -> Tensor:
        return self.decoder(z.abs())


def test_a_missed_mode_costs_its_share_and_nothing_in_the_weights_tells_of_it():
    data = orthogonal_linear_gaussian(3, 1, sigma=0.2, generator=generator(0, "data"))
    x = torch.tensor([[1.5], [2.5]]) @ data.weight.T + data.bias
    model = exact_model(data, 0.0)
    model.decoder = Folded(model.decoder)
    # Both modes are 15 of their standard deviations away from zero: each holds half of the evidence.
    log_evidence = data.log_evidence(x) + math.log(2)
    log_weight = log_weights(model, x[:, None, None, :], 1000, generator(0, "draws"), chunk=1000)
    assert_close(log_mean_exp(log_weight, dim=0), log_evidence - math.log(2))
    assert_close(effective_sample_size(log_weight), torch.full((2,), 1000.0))
    assert (pareto_k(log_weight) == 0).all()


# ---- bounds


@given(
    k=st.integers(1, 6),
    factor=st.integers(1, 5),
    num_groups=st.integers(1, 4),
    spread=st.floats(0, 50),
    seed=st.integers(0),
)
def test_bounds_over_groups_within_groups_never_fall_as_the_groups_grow(k, factor, num_groups, spread, seed):
    stream = torch.Generator().manual_seed(seed % 2**63)
    log_weight = spread * torch.randn(num_groups * factor * k, 3, generator=stream) - 100
    fine, coarse = bound_sweep(log_weight, [k, factor * k])
    assert (fine <= coarse + 1e-10).all()


def test_one_draw_gives_the_elbo_all_draws_the_log_of_their_mean_and_two_their_disjoint_pairs():
    log_weight = torch.randn(7, 5, generator=generator(0, "weights"))
    elbo, pairs, tightest = bound_sweep(log_weight, [1, 2, 7])
    assert_close(elbo, log_weight.mean(0))
    assert_close(pairs, log_weight[:6].reshape(3, 2, 5).exp().mean(1).log().mean(0))  # the seventh has no partner
    assert_close(tightest, log_weight.exp().mean(0).log())


# ---- can they be trusted


def test_the_effective_sample_size_counts_equal_weights_and_sees_one_that_outweighs_all():
    log_weight = torch.full((40, 3), -1000.0)
    log_weight[7, 1] = 0
    log_weight[:20, 2] = -2000
    assert_close(effective_sample_size(log_weight), torch.tensor([40.0, 1.0, 20.0]))


def tail(log_weight):
    """The excesses of the largest min(S/5, 3 √S) weights of one image over the next."""
    weight = np.sort(np.exp(log_weight - log_weight.max()))
    size = math.ceil(min(len(weight) / 5, 3 * math.sqrt(len(weight))))
    return weight[-size:] - weight[-size - 1]


def drawn_towards_a_half(k, num_excesses):
    return (num_excesses * k + 10 * 0.5) / (num_excesses + 10)


def by_zhang_and_stephens(x):
    """Their estimate step by step; the grid is that of the R package loo, k has the opposite sign."""
    n, m = len(x), 30 + int(math.sqrt(len(x)))
    theta = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1]) for j in range(1, m + 1)]

    def shape(t):
        return -np.mean(np.log(1 - t * x))

    log_likelihood = [n * (math.log(t / shape(t)) + shape(t) - 1) for t in theta]
    weight = [1 / sum(math.exp(other - own) for other in log_likelihood) for own in log_likelihood]
    return -shape(np.dot(weight, theta))


@pytest.fixture(scope="module")
def heavy_tails(float64):
    """Log-weights with tails of known shape, and the shapes: 200 times 4,000 draws of each."""
    shapes = np.array([-0.2, 0.1, 0.5, 0.7, 1.2])
    weights = scipy.stats.genpareto.rvs(shapes, size=(4000, 200, 5), random_state=np.random.default_rng(0))
    return torch.from_numpy(np.log(weights)), shapes


def test_pareto_k_is_the_shape_of_the_tail_that_was_drawn(heavy_tails):
    log_weight, shapes = heavy_tails
    for number, expected in enumerate(shapes):
        k = mean_and_standard_error(pareto_k(log_weight[:, :, number]))
        assert k.standard_error < 0.02
        assert abs(k.value - drawn_towards_a_half(expected, 190)) < 4 * k.standard_error


def test_pareto_k_is_the_estimate_of_zhang_and_stephens_and_near_that_of_greatest_likelihood(heavy_tails):
    log_weight, _ = heavy_tails
    for column in log_weight[:, 0].T:
        excess = tail(column.numpy())
        assert len(excess) == 190
        (k,) = pareto_k(column.unsqueeze(1)).tolist()
        assert k == pytest.approx(drawn_towards_a_half(by_zhang_and_stephens(excess), 190), abs=1e-10)
        greatest, _, _ = scipy.stats.genpareto.fit(excess / excess.mean(), floc=0)
        assert k == pytest.approx(drawn_towards_a_half(greatest, 190), abs=0.05)


def test_pareto_k_does_not_depend_on_the_weights_scale_even_where_it_underflows(heavy_tails):
    log_weight, _ = heavy_tails
    assert_close(pareto_k(log_weight[:, 0] - 1e4), pareto_k(log_weight[:, 0]), rtol=0, atol=1e-8)


def test_pareto_k_is_zero_for_equal_weights_and_unknown_for_fewer_than_21():
    log_weight = torch.randn(21, 2, generator=generator(0, "weights"))
    log_weight[:, 0] = -300 + 1e-13 * log_weight[:, 0]
    k = pareto_k(log_weight)
    assert k[0] == 0
    assert k[1].isfinite()
    assert pareto_k(log_weight[:20]).isnan().all()


# ---- the whole sweep


@pytest.fixture
def pixels():
    """Twelve images, and a model in 32 bits, as it is trained."""
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 2, 1), dtype=np.uint8)
    return build_model(ModelConfig(hidden=(8,)), (1, 3, 2), generator(0, "weights")).float(), images


def test_a_sweep_is_its_parts_from_one_set_of_draws(pixels):
    model, images = pixels
    sweep = importance_sweep(model, Examples(images, 255.0), [1, 5, 25], seed=3)
    x = torch.from_numpy(images.transpose(0, 3, 1, 2) / 255).float()
    log_weight = log_weights(model, x, 25, content_noise(x, 3, "importance"), chunk=25)
    assert sweep.ks == (1, 5, 25)
    for found, expected in (
        (sweep.bounds, bound_sweep(log_weight, [1, 5, 25])),
        (sweep.bounds[-1], sweep.log_evidence),
        (sweep.log_evidence, log_mean_exp(log_weight, dim=0)),
        (sweep.effective_sample_size, effective_sample_size(log_weight)),
        (sweep.pareto_k, pareto_k(log_weight)),
    ):
        assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_the_first_batches_of_a_sweep_are_the_same_whatever_follows(pixels, monkeypatch):
    monkeypatch.setattr(importance, "BATCH_SIZE", 4)
    model, images = pixels
    few, many = (importance_sweep(model, Examples(images[:n], 255.0), [30], seed=0) for n in (8, 12))
    assert few.log_evidence.shape == (8,)
    assert_close(many.log_evidence[:8], few.log_evidence)
    assert_close(many.pareto_k[:8], few.pareto_k)


@pytest.mark.parametrize("ks", [[], [0], [1, 0], [26]])
def test_a_bound_of_no_draws_or_of_more_than_there_are_is_refused(ks):
    with pytest.raises(ConfigError, match=r"a K from 1 to the number of draws, 25"):
        bound_sweep(torch.zeros(25, 1), ks)


@pytest.mark.parametrize(("num_samples", "chunk"), [(0, 5), (5, 0)])
def test_no_draws_and_no_chunks_are_refused(linear_gaussian, num_samples, chunk):
    with pytest.raises(ConfigError, match=f"at least 1 draw and a chunk of 1, got {num_samples} and {chunk}"):
        log_weights(linear_gaussian.model, linear_gaussian.x, num_samples, generator(0, "draws"), chunk)


def test_a_deterministic_autoencoder_has_no_weights():
    model = build_model(ModelConfig(hidden=(4,), posterior="point-mass"), (1, 2, 2), generator(0, "weights"))
    with pytest.raises(ConfigError, match="no importance weights and no evidence"):
        log_weights(model, torch.zeros(1, 1, 2, 2), 5, generator(0, "draws"), chunk=5)
