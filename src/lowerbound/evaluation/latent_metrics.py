"""Latent metrics: scores of mutual information, aggregate KL, active units and probes."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from lowerbound.data.sources import Splits
from lowerbound.evaluation.latent_statistics import active_units, decompose_rate, encode_examples
from lowerbound.evaluation.metrics import Subject
from lowerbound.evaluation.probes import labelled_codes, linear_probe, nearest_neighbour_probe
from lowerbound.evaluation.results import Measurements, Score, Scorer
from lowerbound.foundation.seeding import generator
from lowerbound.models.vae import VAE
from lowerbound.probability.distributions import Distribution

NUM_NEIGHBOURS = 5


def latent_metrics(subject: Subject) -> Measurements:
    """Mutual information, aggregate KL and active units of the test examples; probes fitted on training examples."""
    model, splits, scorer, device = subject.model, subject.splits, subject.scorer(), subject.device
    scores: list[Score] = []
    arrays: dict[str, np.ndarray] = {}
    if not model.is_deterministic:
        posterior = encode_examples(model, splits.test, device)
        if not model.prior.takes_context:  # which p(z|y) the aggregate q(z) should be near is not defined
            scores += _rate_scores(posterior, model.prior(), subject.config.seed, scorer)
        if not model.why_not_real:  # elsewhere the axes have no meaning of their own
            units = active_units(posterior)
            about = f"latent dimensions, of {model.latent_dim}, whose posterior mean has a variance above 0.01"
            scores.append(scorer.of("active-units", float(units.count), None, about, len(splits.test), None, "units"))
            arrays["latent_mean_variance"] = units.variance.cpu().numpy()
    if splits.train.labels is not None and splits.test.labels is not None:
        scores += _probe_scores(model, splits, scorer, device)
    return Measurements(tuple(scores), arrays)


def _rate_scores(posterior: Distribution, prior: Distribution, seed: int, scorer: Scorer) -> Iterator[Score]:
    split = decompose_rate(posterior, prior, generator(seed, "aggregate", posterior.centre.device))
    limit = (
        ""
        if split.is_resolved
        else f"; an estimate from n examples is at most log n = {math.log(split.num_examples):.1f}"
    )
    about = f"I(x; z) between example and latents, a part of the rate{limit}"
    part = split.mutual_information
    yield scorer.of("mutual-information", part.value, part.standard_error, about, split.num_examples, 1, "nats")
    about = (
        f"KL(q(z) ‖ p(z)) from aggregate posterior to prior, the rest of the rate{', overestimated' if limit else ''}"
    )
    part = split.aggregate_kl
    yield scorer.of("aggregate-kl", part.value, part.standard_error, about, split.num_examples, 1, "nats")


def _probe_scores(model: VAE, splits: Splits, scorer: Scorer, device: torch.device | str) -> Iterator[Score]:
    train, test = (labelled_codes(model, examples, device) for examples in (splits.train, splits.test))
    if len(train.labels.unique()) < 2:
        return
    codes = "posterior centres" if model.why_not_real else "posterior means"
    about = f"test accuracy of logistic regression on {codes}, fitted on training examples"
    probe = linear_probe(train, test)
    yield scorer.of("linear-probe", probe.value, probe.standard_error, about, len(test.labels), None, "accuracy")
    about = f"the same for a majority vote of the {NUM_NEIGHBOURS} nearest training examples"
    probe = nearest_neighbour_probe(train, test, NUM_NEIGHBOURS)
    yield scorer.of("neighbour-probe", probe.value, probe.standard_error, about, len(test.labels), None, "accuracy")
