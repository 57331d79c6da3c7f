"""z_free_fit: maximum-likelihood fit of a likelihood's family to examples, ignoring z, for every family.

It is the reference level for the gain of a decoder from z. All parameters of p(x|z) are fitted, including those learned
outside of the decoder, such as a standard deviation shared by all elements. Probabilities are at least 1e-6, so that a
level that does not occur in the fitted examples costs 14 nats instead of infinitely many.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.probability.counts import NegativeBinomial
from lowerbound.probability.distributions import Distribution
from lowerbound.probability.likelihood import LEAST_RATE, LOG_R_RANGE, MEAN_MARGIN, Likelihood
from lowerbound.probability.likelihoods import (
    LOG_SCALE_RANGE,
    MIN_SIGMA,
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
    GaussianPerElementLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)
from lowerbound.probability.logistic_fit import fit_logistics
from lowerbound.probability.table_likelihood import MIN_LOG_SIGMA, TableLikelihood

MAX_HISTOGRAM = 2**22
"""Largest number of counts times elements for which a histogram replaces the examples: 32 MiB."""

MAX_ITERATIONS = 50
"""Maximum number of L-BFGS iterations, for families without their own fit."""

NUM_SECTIONS = 40
"""Number of golden sections of the range of log r, which leave 1e-7 of it."""


@dataclass(frozen=True, eq=False)
class FitData:
    """The examples to fit to, with their mean and deviation. Missing cells (NaN) are ignored."""

    mean: Float[Tensor, " *event"]
    deviation: Callable[[], Tensor]  # standard deviation, for families that have a scale
    batches: Iterable[Tensor]  # of examples; can be iterated repeatedly


@torch.no_grad()
def z_free_fit(likelihood: Likelihood, examples: FitData) -> Distribution:
    """The distribution fitted to all examples, of batch shape [1]; the likelihood is not changed."""
    fitted = deepcopy(likelihood)
    raw = _fit(fitted, examples)
    return fitted(raw.to(examples.mean).reshape(1, *likelihood.raw_shape))


@singledispatch
def _fit(likelihood: Likelihood, examples: FitData) -> Tensor:
    """The raw output of the best fit; the likelihood's own parameters are set in place.

    A family without its own fit is fitted by L-BFGS on all examples, starting from their mean.
    """
    raw = likelihood.raw_of_mean(examples.mean).reshape(likelihood.raw_shape).clone().requires_grad_()
    parameters = [raw, *(parameter.requires_grad_() for parameter in likelihood.parameters())]
    optimiser = torch.optim.LBFGS(parameters, max_iter=MAX_ITERATIONS, line_search_fn="strong_wolfe")

    @torch.enable_grad()
    def loss() -> float:
        optimiser.zero_grad()
        total = 0.0
        for x in examples.batches:
            part = -likelihood(raw[None].to(x.device)).log_prob(x).sum()
            part.backward()
            total += float(part.detach())
        return total

    optimiser.step(loss)
    return raw.detach()


@_fit.register
def _(likelihood: BernoulliLikelihood | ContinuousBernoulliLikelihood | PoissonLikelihood, examples: FitData) -> Tensor:
    # One parameter per element, which the mean determines.
    return likelihood.raw_of_mean(examples.mean)


@_fit.register
def _(likelihood: GaussianLikelihood, examples: FitData) -> Tensor:
    if isinstance(likelihood.log_sigma, nn.Parameter):
        likelihood.log_sigma.fill_(0.5 * examples.deviation().square().mean().log())
    return likelihood.raw_of_mean(examples.mean)


@_fit.register
def _(likelihood: GaussianPerElementLikelihood, examples: FitData) -> Tensor:
    mean = (examples.mean - likelihood.location) / likelihood.scale
    log_variance = 2 * (examples.deviation() / likelihood.scale).clamp(min=MIN_SIGMA).log()
    return torch.stack([mean, log_variance])


@_fit.register
def _(likelihood: DiscretizedLogisticLikelihood, examples: FitData) -> Tensor:
    counts = _level_counts(examples.batches, likelihood.num_levels)
    unit = likelihood.num_levels - 1
    least, greatest = (math.exp(end) / unit for end in LOG_SCALE_RANGE)
    found = fit_logistics(counts.flatten(1), likelihood.num_components, least, greatest)
    parts = [found.location - 0.5, found.scale.log() + math.log(10)]
    return torch.cat(parts if likelihood.num_components == 1 else [*parts, found.weight.log()])


@_fit.register
def _(likelihood: CategoricalLikelihood, examples: FitData) -> Tensor:
    return _log_shares(_level_counts(examples.batches, likelihood.num_levels))


@_fit.register
def _(likelihood: NegativeBinomialLikelihood, examples: FitData) -> Tensor:
    log_mean = likelihood.raw_of_mean(examples.mean)
    likelihood.log_r.copy_(_fitted_log_r(examples.batches, log_mean))
    return log_mean


@_fit.register
def _(likelihood: TableLikelihood, examples: FitData) -> Tensor:
    # A column without any known cell has no scale, but no cell is scored with it either.
    mean, deviation = examples.mean.nan_to_num(0.0), examples.deviation().nan_to_num(0.0)
    numeric, count = (
        [i for i, one in enumerate(likelihood.columns) if one.kind == kind] for kind in ("numeric", "count")
    )
    likelihood.log_sigma.copy_((deviation / likelihood.scale)[numeric].log().clamp(min=MIN_LOG_SIGMA))
    log_mean = mean[count].clamp(min=LEAST_RATE).log()
    likelihood.log_r.copy_(_fitted_log_r(_columns(examples, count), log_mean))
    widths = [column.num_levels if column.kind == "categorical" else 1 for column in likelihood.columns]
    parts = list(likelihood.raw_of_mean(mean).split(widths))
    for index, column in enumerate(likelihood.columns):
        if column.kind == "categorical":
            counts = _counts(_columns(examples, [index]), column.num_levels)
            parts[index] = _log_shares(counts).flatten()
    return torch.cat(parts)


@dataclass(frozen=True, eq=False)
class _Batches:
    """Batches with a function applied to each; can be iterated repeatedly."""

    batches: Iterable[Tensor]
    of: Callable[[Tensor], Any]

    def __iter__(self) -> Iterator[Any]:
        return map(self.of, self.batches)


def _columns(examples: FitData, columns: list[int]) -> _Batches:
    return _Batches(examples.batches, lambda x: x[:, columns])


def _level_counts(batches: Iterable[Tensor], num_levels: int) -> Float[Tensor, "level *event"]:
    """Number of occurrences of each level, for each element."""
    return _counts(_Batches(batches, lambda x: (x * (num_levels - 1)).round()), num_levels)


def _counts(batches: Iterable[Tensor], num_values: int) -> Float[Tensor, "value *event"]:
    """Number of occurrences of the values 0, 1, ..., for each element; missing values are ignored."""
    total: Tensor | None = None
    for x in batches:
        values = x.flatten(1)
        place = torch.arange(values.shape[1], device=x.device).expand_as(values)
        row = values.nan_to_num(0.0).long() * values.shape[1] + place
        found = row[~values.isnan()].bincount(minlength=num_values * values.shape[1])
        found = found.reshape(num_values, *x.shape[1:])
        total = found if total is None else total + found
    assert total is not None, "a split is never empty"
    return total.double()


def _log_shares(counts: Float[Tensor, "value *event"]) -> Float[Tensor, "value *event"]:
    share = (counts / counts.sum(0).clamp(min=1)).clamp(min=MEAN_MARGIN)
    return (share / share.sum(0)).log()


def _fitted_log_r(batches: Iterable[Tensor], log_mean: Float[Tensor, " *event"]) -> Float[Tensor, " *event"]:
    """Maximum-likelihood shapes of negative binomials with these means, by golden-section search: at the mean of the
    counts the likelihood has one maximum in r (Anscombe, "Sampling theory of the negative binomial", 1950).
    """
    if not log_mean.numel():
        return log_mean
    weighted = _weighted_counts(batches)

    def log_likelihood(log_r: Tensor) -> Tensor:
        distribution = NegativeBinomial(log_mean.double(), log_r, event_ndim=0)
        return torch.stack([(weight * distribution.log_prob(count)).sum(0) for count, weight in weighted]).sum(0)

    return _golden_maximum(log_likelihood, torch.full_like(log_mean.double(), LOG_R_RANGE[0]), LOG_R_RANGE[1])


def _weighted_counts(batches: Iterable[Tensor]) -> Iterable[tuple[Tensor, Tensor]]:
    """Counts and their weights for each element: a histogram, or the original batches if it would be larger."""
    largest = max(float(x.nan_to_num(0.0).max()) for x in batches)
    num_elements = next(iter(batches))[0].numel()
    if (largest + 1) * num_elements > MAX_HISTOGRAM:
        return _Batches(batches, lambda x: (x.nan_to_num(0.0).double(), (~x.isnan()).double()))
    histogram = _counts(batches, int(largest) + 1)
    count = torch.arange(len(histogram), device=histogram.device).double()
    return [(count.reshape(-1, *(1,) * (histogram.ndim - 1)), histogram)]


def _golden_maximum(
    function: Callable[[Tensor], Tensor], low: Float[Tensor, " *event"], high: float
) -> Float[Tensor, " *event"]:
    """Location of the maximum of a unimodal function, for each element."""
    ratio = (math.sqrt(5) - 1) / 2
    low, high_end = low.clone(), torch.full_like(low, high)
    left, right = high_end - ratio * (high_end - low), low + ratio * (high_end - low)
    at_left, at_right = function(left), function(right)
    for _ in range(NUM_SECTIONS):
        is_left = at_left >= at_right
        low, high_end = torch.where(is_left, low, left), torch.where(is_left, right, high_end)
        kept, at_kept = torch.where(is_left, left, right), torch.where(is_left, at_left, at_right)
        fresh = torch.where(is_left, high_end - ratio * (high_end - low), low + ratio * (high_end - low))
        at_fresh = function(fresh)
        left, right = torch.where(is_left, fresh, kept), torch.where(is_left, kept, fresh)
        at_left, at_right = torch.where(is_left, at_fresh, at_kept), torch.where(is_left, at_kept, at_fresh)
    return (low + high_end) / 2
