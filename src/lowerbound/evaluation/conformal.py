"""Split conformal prediction: thresholds with a known false-alarm rate from scores of held-out examples.

If n held-out scores and the score of a new example are exchangeable, the new one has each of the n + 1 ranks with
equal probability. It therefore exceeds the k-th smallest of the n with probability (n + 1 − k) / (n + 1), whatever the
distribution of scores, and less often if scores are tied. This is a mean over held-out examples too: with those of one
run the rate varies around it, with a standard deviation of about sqrt(α (1 − α) / n).

Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Lei et al., "Distribution-Free
Predictive Inference for Regression", arXiv:1604.04173, Section 2.2.
"""

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

import numpy as np
from jaxtyping import Float

ROUNDING = 1e-9  # tolerance for (n + 1) α, which is 0.9999999999999999 for some α = 1 / (n + 1)


@dataclass(frozen=True)
class Threshold:
    """A threshold, with its expected false-alarm rate."""

    value: float
    rate: float  # expected share of normal examples above it
    num_examples: int  # held-out examples it was computed from


def least_rate(num_examples: int) -> float:
    """The smallest false-alarm rate possible with n held-out examples, 1 / (n + 1)."""
    return 1 / (num_examples + 1)


def rounded_up(rate: float) -> str:
    """A rate rounded up to three significant digits, so that a printed minimum is itself accepted."""
    exact = Decimal(f"{rate:.12g}")  # 0.1, not the nearest binary number, which is larger
    unit = Decimal(1).scaleb(exact.adjusted() - 2)
    return f"{exact.quantize(unit, ROUND_CEILING).normalize():f}"


def num_above(rate: float, num_examples: int) -> int:
    """The number of n + 1 exchangeable scores that may lie above the threshold, ⌊(n + 1) α⌋.

    It is 0 for a rate below `least_rate(n)`, and for one that is not between 0 and 1.
    """
    return math.floor((num_examples + 1) * rate + ROUNDING) if 0 < rate < 1 else 0


def conformal_threshold(scores: Float[np.ndarray, "*calibration n"], rate: float) -> Float[np.ndarray, "*calibration"]:
    """The ⌈(n + 1)(1 − α)⌉-th smallest of n scores, for α from `least_rate(n)` to below 1.

    A new score exceeds it with an expected probability of ⌊(n + 1) α⌋ / (n + 1), or less if scores are tied.
    """
    num_examples = scores.shape[-1]
    rank = num_examples - num_above(rate, num_examples)  # zero-based
    return np.partition(scores, rank, axis=-1)[..., rank]
