"""with_inferred_labels(): examples whose label is missing get the most probable one by the model's classifier."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lowerbound.data.batches import Batches
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.splits import Splits
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.text import pluralise
from lowerbound.models.vae import VAE

BATCH_SIZE = 500


def with_inferred_labels(collection: Collection, model: VAE) -> Collection:
    """A collection in which every example has a label, with a note on how many were inferred.

    It is returned unchanged if none is missing, or if the model has no classifier.
    """
    examples = inferred_examples(collection.examples, model)
    if examples is collection.examples:
        return collection
    assert examples.inferred is not None
    number, name = int(examples.inferred.sum()), model.conditions[0].name
    note = f"the {name} of {pluralise(number, 'example')} is inferred by the model's classifier: the most probable one"
    return replace(collection, examples=examples, notes=(*collection.notes, note))


def inferred_splits(splits: Splits, model: VAE) -> Splits:
    """Splits in which every example has a label; `Examples.inferred` states which were inferred."""
    train, validation, test = (
        inferred_examples(part, model) for part in (splits.train, splits.validation, splits.test)
    )
    return replace(splits, train=train, validation=validation, test=test)


def inferred_examples(examples: Examples, model: VAE) -> Examples:
    """Examples that all have a label; `inferred` states which were inferred."""
    if model.classifier is None or not examples.has_missing_context:
        return examples
    assert examples.context is not None
    is_missing = np.isnan(examples.context[:, 0])
    context = examples.context.copy()
    context[is_missing, 0] = log_probabilities(examples.subset(np.flatnonzero(is_missing)), model).argmax(1)
    earlier = False if examples.inferred is None else examples.inferred
    return replace(examples, context=context, inferred=is_missing | earlier)


@torch.no_grad()
def log_probabilities(examples: Examples, model: VAE) -> Float[np.ndarray, "n level"]:
    """log q(y|x) of every level, in nats, of each example."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    parts = [log_prob_of_levels(model, batch.x).cpu() for batch in Batches(examples, BATCH_SIZE, device)]
    model.train(was_training)
    return torch.cat(parts).numpy()


def predicted(examples: Examples, model: VAE) -> dict[str, np.ndarray]:
    """Columns with the most probable level of each example by the model's classifier, and its probability."""
    log_probability, column = log_probabilities(examples, model), model.conditions[0]
    levels = np.array(column.levels)[log_probability.argmax(1)]
    return {f"predicted_{column.name}": levels, "probability": np.exp(log_probability.max(1))}


def log_prob_of_levels(model: VAE, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch level"]:
    """log q(y|x) of every level of the condition, in nats; ConfigError for a model without a classifier.

    Source: Kingma et al., "Semi-supervised Learning with Deep Generative Models", arXiv:1406.5298, Equation 4.
    """
    if model.classifier is None:
        raise ConfigError("the model has no classifier q(y|x); set model.classifier=true.")
    features = model.likelihood.features(x)
    logits: Tensor = model.classifier(features).to(features.dtype)
    return logits.log_softmax(dim=1)


def known_labels(examples: Examples) -> tuple[Int64[np.ndarray, " place"], Int64[np.ndarray, " place"]]:
    """The places of examples whose label was given, not inferred, and these labels."""
    assert examples.context is not None
    places = examples.known_places
    return places, examples.context[places, 0].astype(np.int64)
