"""Mixtures of logistics, fitted as well as by several searches."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

from lowerbound.probability.likelihoods import LIKELIHOODS
from lowerbound.probability.logistic_fit import fit_logistics

pytestmark = pytest.mark.usefixtures("float64")


def test_a_mixture_is_nearly_as_good_as_the_best_of_several_searches():
    """Pixels with a spike at black, with two modes, and at black or white alone."""
    num_levels = 16
    rng = np.random.default_rng(0)
    uniform = rng.integers(0, num_levels, 500)
    modes = np.where(rng.random(500) < 0.5, rng.normal(0.2, 0.05, 500), rng.normal(0.8, 0.1, 500))
    pixels = [
        np.where(rng.random(500) < 0.8, 0, uniform),
        (modes.clip(0, 1) * (num_levels - 1)).astype(int),
        np.where(rng.random(500) < 0.4, 0, num_levels - 1),
    ]
    counts = torch.stack([torch.from_numpy(np.bincount(p, minlength=num_levels)).double() for p in pixels], 1)
    likelihood = LIKELIHOODS["discretized-logistic"]((3,), num_components=3, num_levels=num_levels)
    found = fit_logistics(counts, 3, 1e-3 / (num_levels - 1), 148 / (num_levels - 1))
    raw = torch.cat([found.location - 0.5, found.scale.log() + math.log(10), found.weight.log()]).reshape(1, -1)
    levels = torch.arange(num_levels).unsqueeze(1).expand(-1, 3)

    def mean_log_probability(raw: Tensor) -> Tensor:
        return (likelihood(raw).element_log_prob(levels) * counts).sum() / 500

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        raw = torch.from_numpy(point).requires_grad_(True)
        value = -mean_log_probability(raw.unsqueeze(0))
        return value.item(), torch.autograd.grad(value, raw)[0].numpy()

    starts = [np.random.default_rng(seed).normal(0, 0.5, raw.numel()) for seed in range(3)]
    best = max(
        -scipy.optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100}).fun
        for start in starts
    )
    assert mean_log_probability(raw).item() > best - 0.03
