"""The best distribution that ignores z, of every likelihood: against scipy's optimum over all that it could be."""

import math

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor
from torch.testing import assert_close

from lowerbound.foundation.schema import Column
from lowerbound.probability.likelihoods import LIKELIHOODS, TableLikelihood
from lowerbound.probability.z_free_fit import FitData, z_free_fit

pytestmark = pytest.mark.usefixtures("float64")

NUM_EXAMPLES, SHAPE = 400, (1, 2, 3)

COLUMNS = (
    Column(name="number", kind="numeric"),
    Column(name="count", kind="count"),
    Column(name="yes or no", kind="binary", levels=("no", "yes")),
    Column(name="category", kind="categorical", levels=("a", "b", "c")),
)


def draws(name: str) -> Tensor:
    """Examples that each family could have, of no family's very shape."""
    rng = np.random.default_rng(3)
    size = (NUM_EXAMPLES, *SHAPE)
    if name == "table":
        columns = [
            rng.normal(5, 3, NUM_EXAMPLES),
            rng.negative_binomial(2, 0.1, NUM_EXAMPLES),
            rng.random(NUM_EXAMPLES) < 0.3,
            rng.integers(0, 3, NUM_EXAMPLES) * (rng.random(NUM_EXAMPLES) < 0.7),
        ]
        cells = np.stack([np.asarray(column, float) for column in columns], 1)
        cells[rng.random(cells.shape) < 0.2] = np.nan
        return torch.from_numpy(cells)
    bases = {
        "bernoulli": lambda: rng.random(size) < rng.random(SHAPE),
        "continuous-bernoulli": lambda: rng.beta(2, 1 + 2 * rng.random(SHAPE), size),
        "gaussian": lambda: rng.normal(rng.normal(size=SHAPE), 0.1 + rng.random(SHAPE), size),
        "gaussian-per-element": lambda: rng.normal(rng.normal(size=SHAPE), 0.1 + rng.random(SHAPE), size),
        "discretized-logistic": lambda: (
            np.clip(rng.normal(100 * rng.random(SHAPE), 40, size), 0, 255).astype(int) / 255
        ),
        "categorical": lambda: rng.binomial(3, rng.random(SHAPE), size) / 3,
        "poisson": lambda: rng.poisson(0.5 + 9 * rng.random(SHAPE), size),
        "negative-binomial": lambda: rng.negative_binomial(1 + 3 * rng.random(SHAPE), 0.2, size),
    }
    return torch.from_numpy(np.asarray(bases[name](), float))


OPTIONS = {
    "gaussian": [{"sigma": 0.3}, {"sigma": 0.3, "learn_sigma": True}],
    "categorical": [{"num_levels": 4}],
    "table": [{"columns": COLUMNS}],
}
CASES = [(name, options) for name in LIKELIHOODS for options in OPTIONS.get(name, [{}])]


def likelihood_of(name: str, options: dict, x: Tensor):
    likelihood = LIKELIHOODS[name](tuple(x.shape[1:]), **options).double()
    likelihood.standardise(torch.from_numpy(np.nanmean(x, 0)), torch.from_numpy(np.nanstd(x, 0)))
    return likelihood


def examples_of(x: Tensor) -> FitData:
    return FitData(torch.from_numpy(np.nanmean(x, 0)), lambda: torch.from_numpy(np.nanstd(x, 0)), x.split(150))


def optimum(likelihood, x: Tensor) -> float:
    """Of the mean log-density in the raw output and in all that the likelihood learns, by L-BFGS."""
    learned = list(likelihood.parameters())
    start = likelihood.raw_of_mean(torch.from_numpy(np.nanmean(x, 0))).reshape(likelihood.raw_shape)
    sizes = [start.numel(), *(parameter.numel() for parameter in learned)]

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        raw, *parts = torch.from_numpy(point).split(sizes)
        with torch.no_grad():
            for parameter, part in zip(learned, parts, strict=True):
                parameter.copy_(part.reshape(parameter.shape))
        raw = raw.reshape(1, *start.shape).clone().requires_grad_(True)
        value = -likelihood(raw).log_prob(x).mean()
        gradients = torch.autograd.grad(value, [raw, *learned])
        return value.item(), torch.cat([gradient.flatten() for gradient in gradients]).numpy()

    point = torch.cat([start.flatten(), *(parameter.detach().flatten() for parameter in learned)]).numpy()
    found = scipy.optimize.minimize(loss, point, jac=True, method="L-BFGS-B", options={"maxiter": 3000, "ftol": 1e-13})
    return -found.fun


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_fit_is_the_optimum_over_the_family(name, options):
    x = draws(name)
    likelihood = likelihood_of(name, options, x)
    fit = z_free_fit(likelihood, examples_of(x)).log_prob(x).mean().item()
    assert fit == pytest.approx(optimum(likelihood, x), abs=2e-5)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_likelihood_stays_as_it_is(name, options):
    x = draws(name)
    likelihood = likelihood_of(name, options, x)
    before = {key: value.clone() for key, value in likelihood.state_dict().items()}
    distribution = z_free_fit(likelihood, examples_of(x))
    assert distribution.log_prob(x).shape == (NUM_EXAMPLES,)
    assert_close(likelihood.state_dict(), before)


@pytest.mark.parametrize("name", ["negative-binomial", "table"])
def test_counts_too_large_for_a_histogram_are_fitted_as_they_came(name, monkeypatch):
    x = draws(name)
    likelihood = likelihood_of(name, *OPTIONS.get(name, [{}]), x)
    by_histogram = z_free_fit(likelihood, examples_of(x)).log_prob(x)
    monkeypatch.setattr("lowerbound.probability.z_free_fit.MAX_HISTOGRAM", 1)
    assert_close(z_free_fit(likelihood, examples_of(x)).log_prob(x), by_histogram)


def test_a_level_that_no_fitted_example_has_costs_nats_and_not_infinitely_many():
    likelihood = LIKELIHOODS["categorical"]((2,), num_levels=4)
    x = torch.zeros(50, 2)
    cost = -z_free_fit(likelihood, examples_of(x)).log_prob(torch.ones(1, 2))
    assert_close(cost, torch.tensor([2 * -math.log(1e-6)]), rtol=1e-5, atol=0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_column_without_any_cell_is_left_out():
    likelihood = TableLikelihood((4,), COLUMNS).double()
    x = draws("table")
    x[:, 0] = math.nan
    fit = z_free_fit(likelihood, examples_of(x))
    assert fit.log_prob(x).isfinite().all()
