"""Thresholds with a known rate of false alarms, from scores of held-out examples: split conformal prediction.

Where n held-out scores and the score of a new example are exchangeable, the new one takes each of the n + 1 ranks with
equal probability. So it exceeds the k-th smallest of the n with probability (n + 1 − k) / (n + 1), whatever the
distribution of scores, and with less where scores may be equal. The mean is over held-out examples as well: for those
of one run the rate varies around it, with a standard deviation of about sqrt(α (1 − α) / n).

Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et al., "Distribution-Free
Predictive Inference for Regression", arXiv:1604.04173, Section 2.2.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-9  # of (n + 1) α, which is 0.9999999999999999 for some α = 1 / (n + 1)


@dataclass(frozen=True)
class Threshold:
    """A score that few normal examples exceed."""

    value: float
    rate: float  # expected share of normal examples above it
    num_examples: int  # held-out examples that it comes from


def least_rate(num_examples: int) -> float:
    """The least rate of false alarms that so many held-out examples can promise, 1 / (n + 1)."""
    return 1 / (num_examples + 1)


def rounded_up(rate: float) -> str:
    """A rate with three significant digits, not less than it is: what is given as the least is accepted."""
    exact = Decimal(f"{rate:.12g}")  # 0.1, and not the nearest binary number, which is more
    unit = Decimal(1).scaleb(exact.adjusted() - 2)
    return f"{exact.quantize(unit, ROUND_CEILING).normalize():f}"


def num_above(rate: float, num_examples: int) -> int:
    """Of n + 1 exchangeable scores the number that may lie above the threshold, ⌊(n + 1) α⌋.

    It is 0 for a rate that n examples cannot promise, and for one that is not between 0 and 1.
    """
    return math.floor((num_examples + 1) * rate + ROUNDING) if 0 < rate < 1 else 0


def conformal_threshold(scores: Float[np.ndarray, "*calibration n"], rate: float) -> Float[np.ndarray, "*calibration"]:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores, for α from `least_rate(n)` to below 1.

    A new score is expected to exceed it with probability ⌊(n + 1) α⌋ / (n + 1), or less where scores are equal.
    """
    num_examples = scores.shape[-1]
    rank = num_examples - num_above(rate, num_examples)  # counted from 0
    return np.partition(scores, rank, axis=-1)[..., rank]
