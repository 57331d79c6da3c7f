"""Coding of x given p(x|z), by the likelihood's family, with probabilities that are the same on every machine."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from lowerbound.coding.decisions import CdfRanges, Halves, Masses, bits_of_levels, pop_levels, push_levels
from lowerbound.coding.entropy_coder import Stack
from lowerbound.coding.portable_tables import STEPS, exp_of, logistic_of
from lowerbound.probability.likelihood import LOG_R_RANGE, MAX_LOG_RATE
from lowerbound.probability.likelihoods import (
    LOG_SCALE_RANGE,
    DiscretizedLogisticLikelihood,
    Likelihood,
    NegativeBinomialLikelihood,
)

MOST_COUNTS = 2**14
"""Number of counts, 0 included, that can be coded; a table of so many probabilities is made for each element."""

Raw = Int64[np.ndarray, "image raw"]
"""Outputs of the decoder in steps of 1/1024."""

Levels = Int64[np.ndarray, "image element"]
"""Whole numbers from 0 on; -1 for a missing cell of a table."""

Steps = Int64[np.ndarray, " element"]
"""One output of the decoder for each element, in steps of 1/1024."""

Parameter = Float64[np.ndarray, " element"]
Ratios = tuple[Callable[[float], np.ndarray], Parameter]
"""P(k) / P(k - 1) of counts as a function of k, and about where P is largest."""


class ElementCoder(ABC):
    """Codes the elements of examples given outputs of the decoder."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        self.num_elements = math.prod(likelihood.event_shape)

    @abstractmethod
    def to_x(self, levels: Levels) -> Float64[np.ndarray, "image element"]:
        """What the model sees of these levels."""

    @abstractmethod
    def encode(self, coder: Stack, raw: Raw, levels: Levels) -> None:
        """Push levels, so that `decode` returns them."""

    @abstractmethod
    def decode(self, coder: Stack, raw: Raw) -> Levels:
        """Pop the levels of the images with these outputs of the decoder."""

    @abstractmethod
    def bits(self, raw: Raw, levels: Levels) -> Float64[np.ndarray, "image element"]:
        """The bits that `encode` takes for each element."""

    @property
    def num_probabilities(self) -> int:
        """Numbers in the tables of probabilities that coding one image needs."""
        return 0

    def missing_bits(self, levels: Levels) -> Float64[np.ndarray, " image"]:
        """The bits that say which elements of each image are missing; 0 where none can be."""
        return np.zeros(len(levels))

    def log_prob(self, likelihood: Likelihood, raw: Raw, levels: Levels) -> Float64[Tensor, " image"]:
        """log p(x|z) by the density of the model, in nats: what the bits should be."""
        x = torch.from_numpy(self.to_x(levels)).reshape(-1, *likelihood.event_shape)
        found: Tensor = likelihood(torch.from_numpy(raw / STEPS).reshape(-1, *likelihood.raw_shape)).log_prob(x)
        return found.double()


class LevelCoder(ElementCoder):
    """Codes elements that all have `num_levels` levels."""

    def __init__(self, likelihood: Likelihood, num_levels: int) -> None:
        super().__init__(likelihood)
        self.num_levels = num_levels

    @abstractmethod
    def halves(self, raw: Raw) -> Halves:
        """The masses of ranges of levels under p(x|z) with these outputs of the decoder.

        The function is called for one decision after another: a range is all levels, then a half of the one before.
        """

    def to_x(self, levels: Levels) -> Float64[np.ndarray, "image element"]:
        return levels / (self.num_levels - 1)

    def encode(self, coder: Stack, raw: Raw, levels: Levels) -> None:
        push_levels(coder, self.halves(raw), levels.ravel(), self.num_levels)

    def decode(self, coder: Stack, raw: Raw) -> Levels:
        found = pop_levels(coder, self.halves(raw), len(raw) * self.num_elements, self.num_levels)
        return found.reshape(len(raw), self.num_elements)

    def bits(self, raw: Raw, levels: Levels) -> Float64[np.ndarray, "image element"]:
        return bits_of_levels(self.halves(raw), levels.ravel(), self.num_levels).reshape(levels.shape)


class BernoulliCoder(LevelCoder):
    """Pixels that are 0 or 1."""

    def halves(self, raw: Raw) -> Halves:
        return binary_halves(raw.ravel())


class LogisticCoder(LevelCoder):
    """Mixtures of discretised logistics."""

    def halves(self, raw: Raw) -> Halves:
        likelihood = self.likelihood
        assert isinstance(likelihood, DiscretizedLogisticLikelihood)
        num, top = likelihood.num_components, self.num_levels - 1
        by_image = raw.reshape(len(raw), -1, self.num_elements)
        parts = by_image.transpose(1, 0, 2).reshape(by_image.shape[1], -1)  # parameter, element of any image
        location = parts[:num] / STEPS + 0.5
        unit = math.log(top)
        least, most = (round(STEPS * (bound - unit + math.log(10))) for bound in LOG_SCALE_RANGE)
        precision = exp_of(-np.clip(parts[num : 2 * num], least, most)) * 10.0
        weights = exp_of(parts[2 * num :] - parts[2 * num :].max(0)) if num > 1 else np.ones((1, parts.shape[1]))
        return CdfRanges(logistic_of, location * top, precision / top, weights)


class CumulativeCoder(LevelCoder):
    """Elements whose masses come from a table of the weights of all levels."""

    @property
    def num_probabilities(self) -> int:
        return self.num_elements * self.num_levels

    @abstractmethod
    def weights(self, raw: Raw) -> Float64[np.ndarray, "element level"]:
        """Weights of the levels of the elements of all images, up to a factor."""

    def halves(self, raw: Raw) -> Halves:
        return cumulative_halves(self.weights(raw))


class CategoricalCoder(CumulativeCoder):
    """Levels with a probability each."""

    def weights(self, raw: Raw) -> Float64[np.ndarray, "element level"]:
        by_image = raw.reshape(len(raw), self.num_levels, self.num_elements)
        logits = by_image.transpose(0, 2, 1).reshape(-1, self.num_levels)
        return exp_of(logits - logits.max(1, keepdims=True))


class CountCoder(CumulativeCoder):
    """Counts from 0 to the largest of the data, by the ratios of successive probabilities, from the mode outwards."""

    def to_x(self, levels: Levels) -> Float64[np.ndarray, "image element"]:
        return levels.astype(np.float64)

    @abstractmethod
    def ratios(self, raw: Raw) -> Ratios:
        """P(k) / P(k - 1) of each element as a function of k, and about where P is largest."""

    def weights(self, raw: Raw) -> Float64[np.ndarray, "element level"]:
        return count_weights(*self.ratios(raw), self.num_levels)


class PoissonCoder(CountCoder):
    """Poisson counts."""

    def ratios(self, raw: Raw) -> Ratios:
        rate = rate_of(raw.ravel())
        return lambda k: rate / k, rate


class NegativeBinomialCoder(CountCoder):
    """Counts more spread than Poisson ones."""

    def ratios(self, raw: Raw) -> Ratios:
        likelihood = self.likelihood
        assert isinstance(likelihood, NegativeBinomialLikelihood)
        return negative_binomial_ratios(rate_of(raw.ravel()), np.tile(shape_of(likelihood.log_r.flatten()), len(raw)))


def binary_halves(raw: Steps) -> Halves:
    """The masses of 0 and 1 of elements with these logits."""
    upper, lower = logistic_of(raw / STEPS), logistic_of(-raw / STEPS)
    return lambda chosen, low, middle, high: (lower[chosen], upper[chosen])


def cumulative_halves(weights: Float64[np.ndarray, "element level"]) -> Halves:
    """The masses of ranges by the weights of all levels."""
    # One sum after another: another order would give other digits.
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])

    def halves(chosen: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> Masses:
        at_middle = sums[chosen, middle]
        return at_middle - sums[chosen, low], sums[chosen, high] - at_middle

    return halves


def count_weights(
    ratio: Callable[[float], np.ndarray], mode: Parameter, num_levels: int
) -> Float64[np.ndarray, "element level"]:
    """Weights of counts from 0 to num_levels - 1, up to a factor, from the mode outwards."""
    start = np.clip(np.floor(mode), 0, num_levels - 1)
    weights = np.zeros((len(start), num_levels))
    weights[np.arange(len(start)), start.astype(np.int64)] = 1.0
    for k in range(1, num_levels):
        weights[:, k] = np.where(k > start, weights[:, k - 1] * ratio(k), weights[:, k])
    for k in range(num_levels - 1, 0, -1):
        weights[:, k - 1] = np.where(k <= start, weights[:, k] / ratio(k), weights[:, k - 1])
    return weights


def negative_binomial_ratios(mean: Parameter, r: Parameter) -> Ratios:
    """P(k) / P(k - 1) and the mode of negative binomials with these means and shapes."""
    share = mean / (mean + r)
    return lambda k: (r + (k - 1)) / k * share, mean * np.maximum(r - 1, 0.0) / r


def rate_of(raw: Steps) -> Parameter:
    """Means of counts from the decoder's outputs."""
    return exp_of(np.minimum(raw, math.floor(MAX_LOG_RATE * STEPS)))


def shape_of(log_r: Tensor) -> Parameter:
    """Shapes of negative binomials from their logarithms, which are rounded to 1/1024."""
    return exp_of((log_r.detach().double().clamp(*LOG_R_RANGE) * STEPS).round().long().numpy())
