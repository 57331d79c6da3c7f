"""Mutual information between latents and factors, and the metrics that it gives: MIG and modularity.

Latents are divided into bins of equal width, and the information of bin and level is that of their frequencies (the
plug-in estimate). It is biased upwards by about (bins - 1)(levels - 1) / 2n nats. This is the variant of
disentanglement_lib (Locatello et al., arXiv:1811.12359); Chen et al. estimate it from q(z|x) instead.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

from lowerbound.evaluation.factor_codes import FactorCodes
from lowerbound.foundation.numerics import Estimate

NUM_RESAMPLES = 50
"""Bootstrap samples of the examples, for standard errors."""

Information = Float64[np.ndarray, "factor latent"]


def binned(mean: Float64[np.ndarray, "n latent"], num_bins: int = 20) -> Int64[np.ndarray, "n latent"]:
    """The bin, from 0, of each latent's range in which a value lies; the range is that of these examples."""
    low, high = mean.min(0), mean.max(0)
    width = np.where(high > low, high - low, 1.0)
    return np.minimum((mean - low) / width * num_bins, num_bins - 1).astype(np.int64)


def information_matrix(
    bins: Int64[np.ndarray, "n latent"],
    levels: Int64[np.ndarray, "n factor"],
    weights: Int64[np.ndarray, " n"] | None = None,
) -> tuple[Information, Float64[np.ndarray, " factor"]]:
    """Mutual information of every factor and latent, and the entropy of every factor, in nats.

    `weights` are how often each example counts.
    """
    num_bins = int(bins.max()) + 1
    sizes = levels.max(0) + 1
    information = np.empty((levels.shape[1], bins.shape[1]))
    entropy = np.empty(levels.shape[1])
    for factor, size in enumerate(sizes.tolist()):
        entropy[factor] = _entropy(np.bincount(levels[:, factor], weights))
        for latent in range(bins.shape[1]):
            pairs = np.bincount(bins[:, latent] * size + levels[:, factor], weights, num_bins * size)
            counts = pairs.reshape(num_bins, size)
            information[factor, latent] = entropy[factor] + _entropy(counts.sum(1)) - _entropy(counts)
    return np.maximum(information, 0), entropy


def _entropy(counts: np.ndarray) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def information_gaps(
    information: Information, entropy: Float64[np.ndarray, " factor"]
) -> Float64[np.ndarray, " factor"]:
    """How much more the best latent tells about each factor than the second, as a share of the factor's entropy.

    Their mean is the mutual information gap (MIG).

    Source: Chen et al., "Isolating Sources of Disentanglement in VAEs", arXiv:1802.04942, Equation 6.
    """
    ranked = np.sort(np.pad(information, ((0, 0), (1, 0))), axis=1)  # beside a single latent, one that tells nothing
    return (ranked[:, -1] - ranked[:, -2]) / entropy


def modularity(information: Information) -> Float64[np.ndarray, " latent"]:
    """For each latent, 1 if it tells about one factor, less the more it tells about others; 0 if it tells nothing.

    Source: Ridgeway and Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", arXiv:1802.05312,
    Equation 2.
    """
    squared = information**2
    top = squared.max(0)
    others = (squared.sum(0) - top) / (len(squared) - 1)
    return np.where(top > 0, 1 - others / np.where(top > 0, top, 1), 0.0)


def mig_and_modularity(codes: FactorCodes, num_bins: int, stream: np.random.Generator) -> dict[str, Estimate]:
    """MIG and modularity, means over factors and latents; errors by bootstrap over examples, with the same bins."""
    bins = binned(codes.centre, num_bins)

    def measured(weights: Int64[np.ndarray, " n"] | None = None) -> Float64[np.ndarray, "metric"]:
        information, entropy = information_matrix(bins, codes.levels, weights)
        return np.array([information_gaps(information, entropy).mean(), modularity(information).mean()])

    values, errors = measured(), bootstrap_errors(measured, len(codes), stream)
    return {name: Estimate(float(values[k]), float(errors[k])) for k, name in enumerate(("mig", "modularity"))}


def bootstrap_errors(
    measured: Callable[[Int64[np.ndarray, " n"]], Float64[np.ndarray, "metric"]],
    num_examples: int,
    stream: np.random.Generator,
) -> Float64[np.ndarray, "metric"]:
    """Standard errors of metrics, by resampling examples; `measured` takes how often each of them counts."""
    even = np.full(num_examples, 1 / num_examples)
    return np.std([measured(stream.multinomial(num_examples, even)) for _ in range(NUM_RESAMPLES)], axis=0, ddof=1)
