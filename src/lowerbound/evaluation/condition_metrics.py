"""Probes of conditions: how well the latents of a conditional model still tell what it is conditional on.

A model that is given a label or a site has no need to code it in z. Whether z is free of it is measured on the test
examples by a probe that is fitted on training examples: logistic regression for a condition with levels, whose
accuracy is compared with always guessing the most frequent level, and linear regression for a number.
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from lowerbound.data.batches import context_of_all
from lowerbound.data.sources import Examples
from lowerbound.evaluation.latent_statistics import encode_examples
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements, Score
from lowerbound.foundation.numerics import binomial_error
from lowerbound.foundation.schema import Column

MAX_PROBED = 20_000


def condition_metrics(subject: Subject) -> Measurements:
    """For each condition, accuracy or R² of a probe from posterior means, and what guessing without z reaches."""
    model, splits, device = subject.model, subject.splits, subject.device
    train, test = splits.train.first(MAX_PROBED), splits.test.first(MAX_PROBED)
    known, codes = (encode_examples(model, part, device).centre.cpu().numpy() for part in (train, test))
    contexts = [_context(part) for part in (train, test)]
    scores: list[Score] = []
    for index, column in enumerate(model.conditions):
        of_train, of_test = (context[:, index] for context in contexts)
        scores += _scores(subject, column, (known, of_train), (codes, of_test))
    return Measurements(tuple(scores), {})


def why_no_condition_probes(subject: Subject) -> str:
    """Why no condition is predicted from the latents; empty if it is."""
    if subject.model.prior.takes_context:
        return "the prior is p(z|y), under which z need not be free of y"
    return "" if subject.model.conditions else "the model is not conditional"


Pair = tuple[Float[np.ndarray, "n latent"], Float[np.ndarray, " n"]]


def _scores(subject: Subject, column: Column, train: Pair, test: Pair) -> Iterator[Score]:
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scorer, number = subject.scorer(), len(test[1])
    if column.levels:
        if len(np.unique(train[1])) < 2:
            return
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(*train)
        levels, counts = np.unique(train[1], return_counts=True)
        accuracy, chance = float(probe.score(*test)), float((test[1] == levels[counts.argmax()]).mean())
        about = f"test accuracy of logistic regression of {column.name} on posterior means, of which z should be free"
        of_probe, of_chance = binomial_error(accuracy, number), binomial_error(chance, number)
        yield scorer.of(f"probe-{column.name}", accuracy, of_probe, about, number, None, "accuracy")
        about = f"the same for the most frequent {column.name} of the training examples, without z"
        yield scorer.of(f"chance-{column.name}", chance, of_chance, about, number, None, "accuracy")
        return
    regression = make_pipeline(StandardScaler(), LinearRegression()).fit(*train)
    squared = (test[1] - regression.predict(test[0])) ** 2
    unexplained = squared / max(float(np.var(test[1])), 1e-30)
    about = f"share of the variance of {column.name} that linear regression on posterior means explains (R²)"
    error = float(unexplained.std(ddof=1) / math.sqrt(number)) if number > 1 else None
    yield scorer.of(f"probe-{column.name}", 1 - float(unexplained.mean()), error, about, number, None, "R²")


def _context(examples: Examples) -> Float[np.ndarray, "n condition"]:
    context = context_of_all(examples)
    assert context is not None  # the model is conditional
    return context.reshape(len(examples), -1).double().numpy()
