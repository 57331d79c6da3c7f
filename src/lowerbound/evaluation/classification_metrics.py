"""Metrics of a classifier q(y|x): accuracy, calibration, and bounds of log p(x, y) with and without the label.

Labels that were inferred are not counted. The bound of an example without its label is compared with the bound that
the true weights of all labels would have,

    ELBO(x) = sum over y of q(y|x) (ELBO(x|y) + log p(y) - log q(y|x)) <= log sum over y of p(y) exp ELBO(x|y),

whose difference is KL(q(y|x) || p(y) exp ELBO(x|y) / sum).
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Examples
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.results import Measurements
from lowerbound.foundation.numerics import binomial_error
from lowerbound.foundation.seeding import generator
from lowerbound.models.construction import new_classifier
from lowerbound.models.missing_labels import known_labels, log_prob_of_levels, log_probabilities
from lowerbound.models.vae import VAE
from lowerbound.objectives.terms import estimate_terms

NUM_BOUNDED = 1000
"""Test examples whose bound is computed for every label."""

NUM_BINS = 10
"""Bins of the confidence, of equal width, of the calibration error."""

NUM_STEPS, BATCH_SIZE, LEARNING_RATE = 500, 100, 1e-3


def classification_metrics(subject: Subject) -> Measurements:
    """Accuracy, calibration error and cross-entropy on test labels, and the bounds without labels, in nats."""
    model, test, score = subject.model, subject.splits.test, subject.scorer()
    places, labels = known_labels(test)
    log_q = log_probabilities(test.subset(places), model)
    confidence, is_right = np.exp(log_q.max(1)), log_q.argmax(1) == labels
    number, level = len(labels), model.conditions[0].name
    right, alone = (float(found.mean()) for found in (is_right, supervised_alone(subject).argmax(1) == labels))
    error, arrays = calibration(confidence, is_right)
    surprise = torch.from_numpy(-log_q[np.arange(number), labels]).double()
    bounds = label_bounds(model, test.first(NUM_BOUNDED), subject.config.seed, subject.device)
    about = f"test accuracy of q(y|x) for {level}"
    scores = [
        score.of("accuracy", right, binomial_error(right, number), about, number, None, "accuracy"),
        score.of(
            "accuracy-supervised-alone", alone, binomial_error(alone, number),
            f"the same of a classifier of the same layers, trained on the labelled examples alone, {NUM_STEPS} steps",
            number, None, "accuracy",
        ),
        score.of(
            "calibration-error", error, None,
            f"mean difference between confidence and accuracy, in {NUM_BINS} bins of confidence (ECE)",
            number, None, "accuracy",
        ),
        score("label-negative-log-likelihood", surprise, f"−log q(y|x) of the {level}", None),
        score("elbo-unlabelled", bounds.unlabelled, f"bound on log p(x), with {level} inferred by q(y|x)", 1),
        score("elbo-enumerated", bounds.enumerated, "log Σ_y p(y) exp ELBO(x|y), at least elbo-unlabelled", 1),
    ]  # fmt: skip
    return Measurements(tuple(scores), arrays)


def why_no_classifier(subject: Subject) -> str:
    """Why there is no accuracy; empty if there is."""
    if subject.model.classifier is None:
        return "the model has no classifier"
    return "" if len(subject.splits.test.known_places) else "no test example has a label"


def calibration(
    confidence: Float[np.ndarray, " n"], is_right: np.ndarray
) -> tuple[float, dict[str, Float[np.ndarray, " bin"]]]:
    """The expected calibration error, and confidence, accuracy and number of examples of each bin that has some.

    Source: Guo et al., "On Calibration of Modern Neural Networks", arXiv:1706.04599, Equation 3.
    """
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS).astype(float)
    used = counts > 0
    sums = (np.bincount(bins, of, minlength=NUM_BINS)[used] / counts[used] for of in (confidence, is_right))
    mean_confidence, accuracy = sums
    error = float((counts[used] * np.abs(accuracy - mean_confidence)).sum() / counts.sum())
    names = ("calibration_confidence", "calibration_accuracy", "calibration_counts")
    return error, dict(zip(names, (mean_confidence, accuracy, counts[used]), strict=True))


class LabelBounds:
    """Bounds of examples of which ELBO(x|y) is known for every label, with p(y) uniform, in nats."""

    def __init__(self, of_labels: Float[Tensor, "n level"], log_q: Float[Tensor, "n level"]) -> None:
        joint = of_labels - math.log(of_labels.shape[1])
        self.unlabelled = (log_q.exp() * (joint - log_q)).sum(1)
        self.enumerated = joint.logsumexp(1)


@torch.no_grad()
def label_bounds(model: VAE, examples: Examples, seed: int, device: torch.device | str = "cpu") -> LabelBounds:
    """The bounds of examples, with one draw from the posterior for every label."""
    noise = generator(seed, "bounds of labels", device)
    bounds, shares = [], []
    for batch in Batches(examples, 200, device):
        log_q = log_prob_of_levels(model, batch.x)
        levels = [batch.x.new_full((len(batch.x), 1), level) for level in range(log_q.shape[1])]
        bounds.append(torch.stack([estimate_terms(model.given(y), batch.x, noise, 1).elbo for y in levels], 1))
        shares.append(log_q)
    return LabelBounds(torch.cat(bounds).double().cpu(), torch.cat(shares).double().cpu())


def supervised_alone(subject: Subject) -> Float[np.ndarray, "n level"]:
    """Logits of known test examples by a new classifier of the same layers, trained on labelled examples alone."""
    model, seed, device = subject.model, subject.config.seed, subject.device
    train, test = (part.subset(part.known_places) for part in (subject.splits.train, subject.splits.test))
    classifier = new_classifier(model, generator(seed, "supervised alone")).to(device)
    optimiser = torch.optim.Adam(classifier.parameters(), LEARNING_RATE)
    batches, step, epoch = Batches(train, BATCH_SIZE, device), 0, 0
    with torch.enable_grad():
        while step < NUM_STEPS:
            for batch in batches.shuffled(seed, epoch):
                assert batch.context is not None
                loss = cross_entropy(classifier(model.likelihood.features(batch.x)), batch.context[:, 0].long())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                step += 1
            epoch += 1
    with torch.no_grad():
        parts = [classifier(model.likelihood.features(x)).cpu() for x in Batches(test, 500, device).examples]
    return torch.cat(parts).numpy()
