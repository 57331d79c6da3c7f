"""The FactorVAE score: whether the latent that varies least among examples that share a factor tells which one it is.

Source: Kim and Mnih, "Disentangling by Factorising", arXiv:1802.05983, Section 4 and Appendix B.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.evaluation.factor_codes import FactorCodes
from lowerbound.foundation.numerics import Estimate, binomial_error

GROUP_SIZE = 64
"""Examples with a factor in common, for one vote."""

LEAST_DEVIATION = 0.05
"""Standard deviation of the posterior mean below which a latent has no vote, as in disentanglement_lib."""

CHUNK = 1000


def factor_vae_score(
    train: FactorCodes, test: FactorCodes, num_train: int, num_test: int, stream: np.random.Generator
) -> Estimate:
    """Accuracy of the majority-vote classifier from the latent that varies least to the factor that was fixed.

    A group has the level of a random example in a random factor; its members are drawn with replacement. The classifier
    is learned from `num_train` groups of training examples and scored on `num_test` groups of test examples; the error
    is binomial. 0 if no latent has a vote.
    """
    scale = train.centre.std(0, ddof=1)
    active = np.flatnonzero(scale >= LEAST_DEVIATION)
    if not len(active):
        return Estimate(0.0, 0.0)
    votes = _votes(train, scale, active, num_train, stream)
    classifier = votes.argmax(0)
    scored = _votes(test, scale, active, num_test, stream)
    accuracy = float(scored[classifier, np.arange(len(active))].sum() / num_test)
    return Estimate(accuracy, binomial_error(accuracy, num_test))


def _votes(
    codes: FactorCodes,
    scale: Float64[np.ndarray, " latent"],
    active: Int64[np.ndarray, " active"],
    num_groups: int,
    stream: np.random.Generator,
) -> Int64[np.ndarray, "factor active"]:
    """How often each latent varied least when each factor was fixed."""
    scaled = codes.centre[:, active] / scale[active]
    votes = np.zeros((codes.levels.shape[1], len(active)), np.int64)
    for factor, members in _groups(codes, num_groups, stream):
        least = scaled[members].var(1).argmin(1)
        votes[factor] += np.bincount(least, minlength=len(active))
    return votes


def _groups(
    codes: FactorCodes, num_groups: int, stream: np.random.Generator
) -> Iterator[tuple[int, Int64[np.ndarray, "group member"]]]:
    """Groups by the factor that they have in common, in parts; each has the level of a random example."""
    fixed = np.bincount(stream.integers(codes.levels.shape[1], size=num_groups), minlength=codes.levels.shape[1])
    for factor, number in enumerate(fixed.tolist()):
        order = np.argsort(codes.levels[:, factor], kind="stable")
        counts = np.bincount(codes.levels[:, factor])
        starts = np.cumsum(counts) - counts
        for start in range(0, number, CHUNK):
            size = min(CHUNK, number - start)
            level = codes.levels[stream.integers(len(codes), size=size), factor]
            places = stream.random((size, GROUP_SIZE)) * counts[level][:, None]
            yield factor, order[starts[level][:, None] + places.astype(np.int64)]
