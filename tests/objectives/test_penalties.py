"""Penalties are what they are defined to be, are logged by name, and reach the gradient with their weight."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from lowerbound.data.batches import Batch
from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.seeding import generator
from lowerbound.models.config import ModelConfig
from lowerbound.models.construction import build_model
from lowerbound.objectives import penalties
from lowerbound.objectives.objective import Objective
from lowerbound.objectives.penalties import (
    MMD_SCALES,
    PENALTIES,
    PenaltyContext,
    decoder_l2,
    dip_i,
    dip_ii,
    latent_l2,
    mmd_between,
    register_penalty,
)
from lowerbound.probability.distributions import DiagonalNormal
from lowerbound.probability.samples import PosteriorSamples
from lowerbound.training.step import loss_of

pytestmark = pytest.mark.usefixtures("float64")


def tiny():
    return build_model(ModelConfig(hidden=(6,), latent_dim=3), (1, 4, 4), generator(0, "weights"))


def batch(num=12):
    return Batch(torch.rand(num, 1, 4, 4, generator=generator(0, "x")))


def kernel(a, b):
    squared = ((a - b) ** 2).sum()
    return sum(2 * len(a) * scale / (2 * len(a) * scale + squared) for scale in MMD_SCALES)


def test_the_mmd_is_the_unbiased_estimate_pair_by_pair():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(5, 3)), rng.normal(1, 2, size=(5, 3))
    distinct = [(i, j) for i in range(5) for j in range(5) if i != j]
    expected = (
        np.mean([kernel(first[i], first[j]) for i, j in distinct])
        + np.mean([kernel(second[i], second[j]) for i, j in distinct])
        - 2 * np.mean([kernel(a, b) for a in first for b in second])
    )
    assert float(mmd_between(torch.from_numpy(first), torch.from_numpy(second))) == pytest.approx(expected)


def test_the_mmd_of_one_distribution_is_zero_in_the_mean_and_of_two_it_is_not():
    stream = generator(0, "draws")
    same = torch.stack([mmd_between(*torch.randn(2, 20, 3, generator=stream)) for _ in range(400)])
    assert abs(float(same.mean())) <= 4 * float(same.std()) / math.sqrt(400)
    moved = torch.stack([mmd_between(a, b + 1) for a, b in torch.randn(400, 2, 20, 3, generator=stream)])
    assert float(moved.mean()) > 10 * float(moved.std()) / math.sqrt(400)


def test_a_penalty_adds_its_weight_times_its_gradient_and_is_logged_unweighted():
    def gradient_and_loss(weights):
        model = tiny()
        loss = loss_of(model, Objective(penalties=weights), batch(), generator(0, "noise"))
        loss.value.backward()
        return model.encoder.heads.weight.grad, loss

    plain, loss = gradient_and_loss({})
    light, with_light = gradient_and_loss({"mmd": 1.0})
    heavy, with_heavy = gradient_and_loss({"mmd": 3.0})
    assert_close(heavy - plain, 3 * (light - plain))
    assert_close(with_light.penalties["mmd"], with_heavy.penalties["mmd"])
    assert_close(with_heavy.objective, loss.objective - 3 * with_heavy.penalties["mmd"])
    assert_close(with_heavy.elbo, loss.elbo)
    assert list(with_heavy.terms()) == ["objective", "elbo", "rate", "distortion", "mmd"]


def test_an_own_penalty_sees_the_model_the_noise_and_the_number_of_examples(monkeypatch):
    monkeypatch.setattr(penalties, "PENALTIES", PENALTIES)
    monkeypatch.setitem(PENALTIES, "seen", lambda samples, context: samples.z.new_tensor(float(context.num_examples)))
    objective = Objective(penalties={"seen": 0.5})
    loss = loss_of(tiny(), objective, batch(), generator(0, "noise"), num_examples=7)
    assert float(loss.penalties["seen"]) == 7
    with pytest.raises(ConfigError, match="'mmd' already exists"):
        register_penalty("mmd", lambda samples, context: samples.z.sum())


def test_unknown_penalties_and_negative_weights_are_refused():
    with pytest.raises(UnknownName, match=r"unknown objective\.penalties 'mdm'.*mmd"):
        Objective(penalties={"mdm": 1.0})
    with pytest.raises(ConfigError, match=r"objective\.penalties\.mmd needs a finite weight of at least 0, got -1"):
        Objective(penalties={"mmd": -1.0})


@pytest.mark.parametrize("value", [3.0, None, torch.zeros(2)])
def test_a_penalty_that_returns_something_else_is_named(monkeypatch, value):
    monkeypatch.setitem(PENALTIES, "odd", lambda samples, context: value)
    with pytest.raises(ConfigError, match="penalty 'odd' must return a tensor with one number, got"):
        loss_of(tiny(), Objective(penalties={"odd": 1.0}), batch(), generator(0, "noise"))


# ---- moments, weights and codes


def with_means(mean, log_variance=None):
    q = DiagonalNormal(mean, torch.zeros_like(mean) if log_variance is None else log_variance)
    prior = DiagonalNormal(torch.zeros(mean.shape[1]), torch.zeros(mean.shape[1]))
    return PosteriorSamples.of_one_group(mean[None], torch.zeros(1, len(mean)), q, prior)


def context_of(model):
    return PenaltyContext(model, generator(0, "noise"), 10)


def whitened(num=40, latent_dim=3):
    """Means whose covariance, divided by their number, is exactly the identity."""
    means = np.random.default_rng(0).normal(size=(num, latent_dim))
    means -= means.mean(0)
    root = np.linalg.cholesky(np.linalg.inv(np.cov(means.T, bias=True)))
    return torch.from_numpy(means @ root)


def test_the_dip_of_whitened_means_is_zero_and_otherwise_that_of_numpys_covariance():
    context = context_of(tiny())
    assert float(dip_i(with_means(whitened()), context)) == pytest.approx(0, abs=1e-20)
    means = torch.randn(30, 3, generator=generator(0, "means"))
    covariance = np.cov(means.numpy().T, bias=True)
    off = (covariance - np.diag(np.diag(covariance))) ** 2
    on = (np.diag(covariance) - 1) ** 2
    assert float(dip_i(with_means(means), context, diagonal=7.0)) == pytest.approx(off.sum() + 7 * on.sum())


def test_the_second_dip_adds_the_mean_variance_and_is_zero_where_the_aggregate_is_white():
    variance, context = torch.full((40, 3), 0.4), context_of(tiny())
    means = whitened() * math.sqrt(0.6)
    assert float(dip_ii(with_means(means, variance.log()), context)) == pytest.approx(0, abs=1e-20)
    assert float(dip_i(with_means(means, variance.log()), context)) == pytest.approx(10 * 3 * 0.4**2)


def test_the_l2_penalties_are_half_the_squares_of_the_decoders_weights_and_of_the_codes():
    model = tiny()
    squares = sum(float((parameter.detach() ** 2).sum()) for parameter in model.decoder.parameters())
    assert float(decoder_l2(with_means(whitened()), context_of(model)).detach()) == pytest.approx(squares / 2)
    assert float(latent_l2(with_means(whitened()), context_of(model))) == pytest.approx(1.5)  # of unit variances
