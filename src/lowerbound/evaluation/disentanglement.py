"""Disentanglement metrics: whether single latents correspond to known factors of variation.

    MIG              information about each factor that its best latent has before the second
    modularity       whether each latent tells about one factor only
    SAP              accuracy of predicting each factor that its best latent has before the second
    DCI              disentanglement, completeness and informativeness of predictors that use all latents
    FactorVAE score  whether the latent that varies least tells which factor was fixed

The representation of an example is the mean of its posterior. All are from 0 to 1, higher is better. The numbers of
examples are those of disentanglement_lib (Locatello et al., arXiv:1811.12359) where the data have as many.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from lowerbound.data.examples import evenly_spaced
from lowerbound.data.factors import Factors
from lowerbound.evaluation.config import LEAST_EXAMPLES
from lowerbound.evaluation.factor_codes import FactorCodes, factor_codes
from lowerbound.evaluation.factor_information import binned, information_gaps, information_matrix, mig_and_modularity
from lowerbound.evaluation.factor_prediction import dci, sap
from lowerbound.evaluation.factor_votes import factor_vae_score
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements, Score, Scorer
from lowerbound.foundation.numerics import Estimate

ABOUT = {
    "mig": "mutual information gap between the best and the second latent of each factor, as a share of its entropy",
    "modularity": "one minus the squared information of each latent about other factors, relative to its main one",
    "sap": "accuracy of a linear classifier of each factor with its best latent minus that with the second",
    "dci-disentanglement": "importance of each latent in trees that predict the factors: concentration on one factor",
    "dci-completeness": "the same importance for each factor: concentration on one latent",
    "dci-informativeness": "test accuracy of the trees, mean over factors",
    "factor-vae-score": "accuracy of telling from the latent that varies least which factor examples share",
}
"""Scores in the order of reports, with what they are."""

UNIT = "0 to 1"


def why_no_factors(subject: Subject) -> str:
    """Why disentanglement cannot be measured; empty if it can."""
    factors = _factors(subject)
    if factors is None:
        return "the data have no known factors of variation"
    if (fewest := min(map(len, factors))) < LEAST_EXAMPLES:
        return f"needs at least {LEAST_EXAMPLES} training and test examples with factors, but a split has {fewest}"
    number = int(_varying(*factors).sum())
    return "" if number >= 2 else f"needs at least 2 factors that vary, but the data have {number}"


def disentanglement_metrics(subject: Subject) -> Measurements:
    """The scores in ABOUT and, for the report, the information of every latent about every factor."""
    config, splits = subject.config.disentanglement, subject.splits
    factors = _factors(subject)
    assert factors is not None  # checked by why_no_factors
    varying = _varying(*factors)
    train, test = (
        factor_codes(subject.model, examples, subject.device).of_factors(varying)
        for examples in (splits.train.subsample(config.num_train), splits.test.subsample(config.num_information))
    )
    names = [name for name, varies in zip(factors[1].names, varying.tolist(), strict=True) if varies]
    information, entropy = information_matrix(binned(test.centre, config.num_bins), test.levels)
    gaps = information_gaps(information, entropy)
    by_factor = "; ".join(f"{name} {gap:.2f}" for name, gap in zip(names, gaps.tolist(), strict=True))
    scores = _scores(subject, train, test, by_factor)
    arrays: dict[str, np.ndarray] = {
        "factor_information": information.astype(np.float32),
        "factor_entropy": entropy.astype(np.float32),
        "factor_numbers": np.flatnonzero(varying),
    }
    return Measurements(tuple(scores), arrays)


def _scores(subject: Subject, train: FactorCodes, test: FactorCodes, by_factor: str) -> Iterator[Score]:
    config = subject.config.disentanglement
    some = test.subset(evenly_spaced(len(test), config.num_test))

    def stream(number: int) -> np.random.Generator:
        """The random numbers of one metric."""
        return np.random.Generator(np.random.PCG64([subject.config.seed, number]))

    found = mig_and_modularity(test, config.num_bins, stream(0))
    yield _score(subject.scorer(), "mig", found["mig"], len(test), f" ({by_factor})")
    yield _score(subject.scorer(), "modularity", found["modularity"], len(test))
    yield _score(subject.scorer(), "sap", sap(train, some, stream(1)), len(some))
    for name, estimate in dci(train, some, stream(2)).items():
        yield _score(subject.scorer(), f"dci-{name}", estimate, len(some))
    votes = factor_vae_score(train, test, config.num_train_votes, config.num_test_votes, stream(3))
    yield _score(subject.scorer(), "factor-vae-score", votes, len(test))


def _score(scorer: Scorer, name: str, estimate: Estimate, num_examples: int, more: str = "") -> Score:
    return scorer.of(name, estimate.value, estimate.standard_error, ABOUT[name] + more, num_examples, None, UNIT)


def _factors(subject: Subject) -> tuple[Factors, Factors] | None:
    """The factors of the training and test examples that are used, or None."""
    config, splits = subject.config.disentanglement, subject.splits
    train, test = splits.train.factors, splits.test.factors
    if train is None or test is None:
        return None
    return (
        train.subset(evenly_spaced(len(train), config.num_train)),
        test.subset(evenly_spaced(len(test), config.num_information)),
    )


def _varying(train: Factors, test: Factors) -> Bool[np.ndarray, " factor"]:
    """Which factors have several levels in both splits."""
    return np.logical_and(*(np.ptp(factors.codes, axis=0) > 0 for factors in (train, test)))
