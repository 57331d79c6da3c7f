"""Coding of x given p(x|z), by the likelihood's family, with probabilities that are the same on every machine."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.coding.decisions import CdfRanges, Halves, Masses, bits_of_levels, pop_levels, push_levels
from lowerbound.coding.entropy_coder import Stack
from lowerbound.coding.portable_tables import STEPS, exp_of, logistic_of
from lowerbound.foundation.errors import UsageError
from lowerbound.probability.likelihood import LOG_R_RANGE, MAX_LOG_RATE
from lowerbound.probability.likelihoods import (
    LOG_SCALE_RANGE,
    BernoulliLikelihood,
    CategoricalLikelihood,
    DiscretizedLogisticLikelihood,
    Likelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
)

MOST_COUNTS = 2**14
"""Number of counts, 0 included, that can be coded; a table of so many probabilities is made for each element."""

Raw = Int64[np.ndarray, "image raw"]
"""Outputs of the decoder in steps of 1/1024."""

Levels = Int64[np.ndarray, "image element"]


class ElementCoder(ABC):
    """Codes the elements of images whose likelihood has `num_levels` levels."""

    def __init__(self, likelihood: Likelihood, num_levels: int) -> None:
        self.likelihood, self.num_levels = likelihood, num_levels
        self.num_elements = math.prod(likelihood.event_shape)

    @abstractmethod
    def halves(self, raw: Raw) -> Halves:
        """The masses of ranges of levels under p(x|z) with these outputs of the decoder.

        The function is called for one decision after another: a range is all levels, then a half of the one before.
        """

    def to_x(self, levels: Levels) -> Float64[np.ndarray, "image element"]:
        """What the model sees of these levels."""
        return levels / (self.num_levels - 1)

    def encode(self, coder: Stack, raw: Raw, levels: Levels) -> None:
        """Push levels, so that `decode` returns them."""
        push_levels(coder, self.halves(raw), levels.ravel(), self.num_levels)

    def decode(self, coder: Stack, raw: Raw) -> Levels:
        """Pop the levels of the images with these outputs of the decoder."""
        found = pop_levels(coder, self.halves(raw), len(raw) * self.num_elements, self.num_levels)
        return found.reshape(len(raw), self.num_elements)

    def bits(self, raw: Raw, levels: Levels) -> Float64[np.ndarray, "image element"]:
        """The bits that `encode` takes for each element."""
        return bits_of_levels(self.halves(raw), levels.ravel(), self.num_levels).reshape(levels.shape)


class BernoulliCoder(ElementCoder):
    """Pixels that are 0 or 1."""

    def halves(self, raw: Raw) -> Halves:
        upper, lower = logistic_of(raw.ravel() / STEPS), logistic_of(-raw.ravel() / STEPS)
        return lambda chosen, low, middle, high: (lower[chosen], upper[chosen])


class LogisticCoder(ElementCoder):
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


class CumulativeCoder(ElementCoder):
    """Elements whose masses come from a table of the weights of all levels."""

    @abstractmethod
    def weights(self, raw: Raw) -> Float64[np.ndarray, "element level"]:
        """Weights of the levels of the elements of all images, up to a factor."""

    def halves(self, raw: Raw) -> Halves:
        weights = self.weights(raw)
        # One sum after another: another order would give other digits.
        sums = np.zeros((len(weights), self.num_levels + 1))
        np.cumsum(weights, axis=1, out=sums[:, 1:])

        def halves(chosen: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> Masses:
            at_middle = sums[chosen, middle]
            return at_middle - sums[chosen, low], sums[chosen, high] - at_middle

        return halves


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
    def ratios(self, raw: Raw) -> tuple[Callable[[float], np.ndarray], np.ndarray]:
        """P(k) / P(k - 1) of each element as a function of k, and about where P is largest."""

    def weights(self, raw: Raw) -> Float64[np.ndarray, "element level"]:
        ratio, mode = self.ratios(raw)
        start = np.clip(np.floor(mode), 0, self.num_levels - 1)
        weights = np.zeros((len(start), self.num_levels))
        weights[np.arange(len(start)), start.astype(np.int64)] = 1.0
        for k in range(1, self.num_levels):
            weights[:, k] = np.where(k > start, weights[:, k - 1] * ratio(k), weights[:, k])
        for k in range(self.num_levels - 1, 0, -1):
            weights[:, k - 1] = np.where(k <= start, weights[:, k] / ratio(k), weights[:, k - 1])
        return weights


class PoissonCoder(CountCoder):
    """Poisson counts."""

    def ratios(self, raw: Raw) -> tuple[Callable[[float], np.ndarray], np.ndarray]:
        rate = _rate(raw)
        return lambda k: rate / k, rate


class NegativeBinomialCoder(CountCoder):
    """Counts more spread than Poisson ones."""

    def ratios(self, raw: Raw) -> tuple[Callable[[float], np.ndarray], np.ndarray]:
        likelihood, mean = self.likelihood, _rate(raw)
        assert isinstance(likelihood, NegativeBinomialLikelihood)
        log_r = likelihood.log_r.detach().double().clamp(*LOG_R_RANGE).flatten()
        r = np.tile(exp_of((log_r * STEPS).round().long().numpy()), len(raw))
        share = mean / (mean + r)
        return lambda k: (r + (k - 1)) / k * share, mean * np.maximum(r - 1, 0.0) / r


def _rate(raw: Raw) -> Float64[np.ndarray, " element"]:
    return exp_of(np.minimum(raw.ravel(), math.floor(MAX_LOG_RATE * STEPS)))


CODERS: dict[type[Likelihood], type[ElementCoder]] = {
    BernoulliLikelihood: BernoulliCoder,
    DiscretizedLogisticLikelihood: LogisticCoder,
    CategoricalLikelihood: CategoricalCoder,
    PoissonLikelihood: PoissonCoder,
    NegativeBinomialLikelihood: NegativeBinomialCoder,
}
"""The likelihoods of whole numbers that can be coded."""


def element_coder(likelihood: Likelihood, num_levels: int = 0) -> ElementCoder:
    """The coder of a likelihood; counts need `num_levels`, the largest plus 1. UsageError for a density, or others."""
    coder = CODERS.get(type(likelihood))
    if coder is None:
        accepted = "Bernoulli on binary data, discretised logistics, categorical values and counts"
        raise UsageError(
            f"the model has the likelihood {type(likelihood).__name__.removesuffix('Likelihood')}, which gives no "
            f"probabilities of whole numbers; lossless compression needs one that does: {accepted}."
        )
    if issubclass(coder, CountCoder):
        if num_levels > MOST_COUNTS:
            raise UsageError(f"the largest count is {num_levels - 1:,}; at most {MOST_COUNTS - 1:,} can be coded.")
        return coder(likelihood, max(2, num_levels))
    return coder(likelihood, getattr(likelihood, "num_levels", 2))
