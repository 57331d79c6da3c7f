"""SAP and DCI: how well factors are predicted from latents, from single ones or from all.

Predictors are fitted on training examples and scored on test examples.
"""

import warnings

import numpy as np
from jaxtyping import Bool, Float64, Int64

from lowerbound.evaluation.factor_codes import FactorCodes
from lowerbound.evaluation.factor_information import bootstrap_errors
from lowerbound.foundation.numerics import Estimate

NUM_TREES = 50
LEAST_LEAF = 20  # examples; smaller leaves fit noise in latents that do not matter
NUM_REFITS = 5
"""Fits on resampled examples, whose spread gives the standard errors of DCI."""


def sap(train: FactorCodes, test: FactorCodes, stream: np.random.Generator) -> Estimate:
    """Separated attribute predictability: by how much a linear classifier of each factor is more accurate with its
    best latent than with the second, mean over factors. The error is a bootstrap over the test examples.

    All factors are treated as categories, as in disentanglement_lib, by the same classifier.

    Source: Kumar et al., "Variational Inference of Disentangled Latent Concepts", arXiv:1711.00848, Section 3.
    """
    is_right = _single_predictions(train, test)
    if is_right.shape[1] == 1:  # beside a single latent, one that predicts the most frequent level
        is_right = np.concatenate([is_right, _most_frequent(train, test)[:, None]], axis=1)

    def measured(weights: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "metric"]:
        accuracy = np.sort(is_right @ (weights / weights.sum()), axis=1)
        return np.array([(accuracy[:, -1] - accuracy[:, -2]).mean()])

    value = measured(np.ones(len(test), np.int64))
    return Estimate(float(value[0]), float(bootstrap_errors(measured, len(test), stream)[0]))


def _single_predictions(train: FactorCodes, test: FactorCodes) -> Bool[np.ndarray, "factor latent n"]:
    """Whether the level of each factor is predicted from each latent."""
    # Imported here: importing scikit-learn takes a second.
    from sklearn.svm import LinearSVC

    num_factors, num_latents = train.levels.shape[1], train.centre.shape[1]
    is_right = np.empty((num_factors, num_latents, len(test)), bool)
    for factor in range(num_factors):
        for latent in range(num_latents):
            classifier = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
            classifier.fit(train.centre[:, [latent]], train.levels[:, factor])
            is_right[factor, latent] = classifier.predict(test.centre[:, [latent]]) == test.levels[:, factor]
    return is_right


def _most_frequent(train: FactorCodes, test: FactorCodes) -> Bool[np.ndarray, "factor n"]:
    return np.stack(
        [
            levels == np.bincount(of_train).argmax()
            for levels, of_train in zip(test.levels.T, train.levels.T, strict=True)
        ]
    )


def dci(train: FactorCodes, test: FactorCodes, stream: np.random.Generator) -> dict[str, Estimate]:
    """Disentanglement, completeness and informativeness of predictors that use all latents.

    The importance of each latent for each factor is the mean decrease of impurity in extremely randomised trees.
    Disentanglement is one minus the entropy of a latent's importance over factors, completeness the same of a factor's
    over latents, both in units of the largest entropy and weighted by importance; informativeness is the accuracy on
    test examples. Errors come from fits on resampled examples.

    Source: Eastwood and Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations", 2018,
    Section 2, with random forests. disentanglement_lib uses gradient boosting, which takes minutes.
    """
    values = _fitted(train, test)
    refits = [_fitted(_resampled(train, stream), _resampled(test, stream)) for _ in range(NUM_REFITS)]
    errors = np.std(refits, axis=0, ddof=1)
    names = ("disentanglement", "completeness", "informativeness")
    return {name: Estimate(float(values[k]), float(errors[k])) for k, name in enumerate(names)}


def _resampled(codes: FactorCodes, stream: np.random.Generator) -> FactorCodes:
    return codes.subset(stream.integers(len(codes), size=len(codes)))


def _fitted(train: FactorCodes, test: FactorCodes) -> Float64[np.ndarray, "3"]:
    from sklearn.ensemble import ExtraTreesClassifier

    importance, accuracy = [], []
    for factor in range(train.levels.shape[1]):
        trees = ExtraTreesClassifier(
            NUM_TREES, max_features=None, min_samples_leaf=_least_leaf(len(train)), random_state=0
        )
        with warnings.catch_warnings():
            # Few examples may have nearly as many levels; they are levels nevertheless.
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
            trees.fit(train.centre, train.levels[:, factor])
        importance.append(trees.feature_importances_)
        accuracy.append((trees.predict(test.centre) == test.levels[:, factor]).mean())
    return np.array([*disentanglement_and_completeness(np.array(importance)), np.mean(accuracy)])


def _least_leaf(num_examples: int) -> int:
    return max(1, min(LEAST_LEAF, num_examples // 100))


def disentanglement_and_completeness(importance: Float64[np.ndarray, "factor latent"]) -> tuple[float, float]:
    """D and C of a matrix of importance, weighted by importance; 0 where no latent is important."""
    total = importance.sum()
    if not total > 0:
        return 0.0, 0.0
    of_latents = (1 - _relative_entropy(importance.T)) @ importance.sum(0) / total
    of_factors = (1 - _relative_entropy(importance)) @ importance.sum(1) / total
    return float(of_latents), float(of_factors)


def _relative_entropy(rows: Float64[np.ndarray, "row column"]) -> Float64[np.ndarray, " row"]:
    """Entropy of each row as a share of the largest possible; 0 for a single column and for rows of zeros."""
    sums = rows.sum(1, keepdims=True)
    share = np.divide(rows, sums, out=np.zeros_like(rows), where=sums > 0)
    terms = share * np.log(np.where(share > 0, share, 1))
    return -terms.sum(1) / max(np.log(rows.shape[1]), np.log(2))
