"""Coding of whole numbers as yes-or-no decisions: is it in the upper half of what is left?

Each decision has the probability of the upper half given both. So one of 256 levels takes eight decisions, and both
directions compute masses at the edges in question alone, instead of the probabilities of all levels. All numbers take
their first decision, then all their second, and so on, which makes each a few operations on whole arrays. What has
hardly any mass takes at most 24 bits in each decision, and a draw lands there once in millions of times.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.coding.entropy_coder import PRECISION, Stack, decision

Numbers = Int64[np.ndarray, " number"]
Masses = tuple[Float64[np.ndarray, " chosen"], Float64[np.ndarray, " chosen"]]
Halves = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], Masses]
"""The masses of levels low to middle - 1, and middle to high - 1, of chosen numbers: positions, low, middle, high.

Called for one decision after another: a range is all levels, then a half of the one before.
"""

Components = Float64[np.ndarray, "component number"]
Cdf = Callable[[np.ndarray], np.ndarray]


def push_levels(coder: Stack, halves: Halves, levels: Numbers, num_levels: int | Numbers) -> None:
    """Push numbers from 0 to num_levels - 1, which may be given for each, so that `pop_levels` returns them."""
    for _, is_upper, probability in reversed(list(_decisions(halves, levels, num_levels))):
        coder.encode_reverse(is_upper.astype(np.int32), decision(), probability)


def pop_levels(coder: Stack, halves: Halves, count: int, num_levels: int | Numbers) -> Numbers:
    """Pop numbers."""
    low, high = np.zeros(count, np.int64), np.full(count, num_levels, np.int64)
    while (chosen := np.flatnonzero(high - low > 1)).size:
        middle, probability = _decision(halves, chosen, low, high)
        is_upper = coder.decode(decision(), probability).astype(bool)
        low[chosen], high[chosen] = _halved(is_upper, low[chosen], middle, high[chosen])
    return low


def bits_of_levels(halves: Halves, levels: Numbers, num_levels: int | Numbers) -> Float64[np.ndarray, " number"]:
    """The bits that `push_levels` takes for each number."""
    total = np.zeros(levels.size)
    for chosen, is_upper, probability in _decisions(halves, levels, num_levels):
        total[chosen] -= np.log2(np.maximum(np.where(is_upper, probability, 1 - probability), 2.0**-PRECISION))
    return total


def _decisions(
    halves: Halves, levels: Numbers, num_levels: int | Numbers
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Decision after decision: the numbers that take it, their answers, and the probabilities of yes."""
    low, high = np.zeros_like(levels), np.full_like(levels, num_levels)
    while (chosen := np.flatnonzero(high - low > 1)).size:
        middle, probability = _decision(halves, chosen, low, high)
        is_upper = levels[chosen] >= middle
        yield chosen, is_upper, probability
        low[chosen], high[chosen] = _halved(is_upper, low[chosen], middle, high[chosen])


def _decision(
    halves: Halves, chosen: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, Float64[np.ndarray, " chosen"]]:
    """The middles of ranges, and the probabilities of their upper halves; a half where neither has any mass."""
    low, high = low[chosen], high[chosen]
    middle = (low + high) >> 1
    lower, upper = halves(chosen, low, middle, high)
    total = lower + upper
    is_known = total > 0
    return middle, np.where(is_known, upper / np.where(is_known, total, 1.0), 0.5)


def _halved(
    is_upper: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return np.where(is_upper, middle, low), np.where(is_upper, high, middle)


class CdfRanges:
    """Masses of ranges by a cumulative distribution, of a mixture if there are several components.

    Each decision computes it at one new edge, and keeps its values at the ends. Level n begins at n - 1/2.
    """

    def __init__(self, cdf: Cdf, location: Components, precision: Components, weights: Components) -> None:
        self.cdf, self.location, self.precision, self.weights = cdf, location, precision, weights
        # Of each component: its value at an edge, and the complement, which has more digits where that is near 1.
        zeros, ones = np.zeros(location.shape), np.ones(location.shape)
        self.at_low, self.at_high = np.stack([zeros, ones]), np.stack([ones, zeros])
        self.at_middle, self.middle = self.at_low, np.full(location.shape[1], -1)
        self.positions = np.arange(location.shape[1])

    def __call__(self, chosen: np.ndarray, low: np.ndarray, middle: np.ndarray, high: np.ndarray) -> Masses:
        if len(chosen) < self.location.shape[1]:
            self._keep(chosen)
        # A range of the last decision ends where that one was split.
        is_upper = low == self.middle
        is_split = self.middle >= 0
        self.at_low = np.where(is_upper, self.at_middle, self.at_low)
        self.at_high = np.where(is_upper | ~is_split, self.at_high, self.at_middle)
        t = ((middle - 0.5) - self.location) * self.precision
        self.at_middle, self.middle = np.stack([self.cdf(t), self.cdf(-t)]), middle
        return self._mass(self.at_low, self.at_middle), self._mass(self.at_middle, self.at_high)

    def _keep(self, chosen: np.ndarray) -> None:
        """Forget the elements that need no further decision."""
        kept = np.searchsorted(self.positions, chosen)
        self.positions = chosen
        self.location, self.precision, self.weights = (
            values[:, kept] for values in (self.location, self.precision, self.weights)
        )
        self.at_low, self.at_high, self.at_middle = (
            values[:, :, kept] for values in (self.at_low, self.at_high, self.at_middle)
        )
        self.middle = self.middle[kept]

    def _mass(self, below: np.ndarray, above: np.ndarray) -> Float64[np.ndarray, " chosen"]:
        mass = np.where(below[0] > 0.5, below[1] - above[1], above[0] - below[0]) * self.weights
        total = mass[0]
        for one in mass[1:]:  # in this order on every machine
            total = total + one
        return total
