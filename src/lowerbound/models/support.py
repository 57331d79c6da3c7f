"""Support checks: examples that a trained model can score; others are refused or skipped; binarise_as_run.

Commands, Python API, estimator, service and explorer all read examples by the run's schema (data/*_examples.py) and
then call these checks. Values outside of the likelihood's support are refused with their position, or skipped and
named. Values are never clipped, and NaN is never used as a score.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool

from lowerbound.data.batches import Batches
from lowerbound.data.binarisation import binarise_by_content
from lowerbound.data.examples import Collection
from lowerbound.foundation.errors import SchemaError
from lowerbound.foundation.schema import Column, Schema
from lowerbound.probability.likelihood import COUNTS, NUMBERS, Likelihood
from lowerbound.probability.likelihoods import convention_for

BATCH_SIZE = 1000


def convention_of(likelihood: Likelihood, schema: Schema) -> str:
    """Meaning of log p(x|z) for a run's data, such as "grey", "binary" or "density", or the rule of binarisation."""
    convention = convention_for(likelihood, schema.support)
    if convention == "binary" and schema.binarisation != "none":
        return describe_binarisation(schema)
    return convention


def describe_binarisation(schema: Schema) -> str:
    """Rule and seed of the binarisation, as text."""
    return f"{schema.binarisation} binarisation, seed {schema.binarisation_seed}"


def supported_examples(
    collection: Collection, likelihood: Likelihood, schema: Schema, skip_broken: bool = False
) -> Collection:
    """The examples that the likelihood can score; for a binarised run, grey pixels are binarised first, with a note.

    SchemaError (a DataError) names the first unsupported value; with `skip_broken`, `skipped` names every such example.
    """
    collection = binarise_as_run(collection, schema)
    problems = dict(_problems(collection, likelihood, schema))
    if not problems:
        return collection
    if not skip_broken:
        raise SchemaError(f"{next(iter(problems.values()))}.")
    return without_examples(collection, problems)


def binarise_as_run(collection: Collection, schema: Schema) -> Collection:
    """Binarise grey pixels as in the run's data, with noise seeded from their values; binary images are not changed."""
    if schema.binarisation == "none":
        return collection
    examples = binarise_by_content(collection.examples, schema.binarisation_seed)
    how = describe_binarisation(schema)
    note = f"grey pixels are binarised at random, with a seed derived from the image's values ({how})"
    notes = () if examples is collection.examples else (note,)
    return replace(collection, examples=examples, notes=(*collection.notes, *notes))


def unsupported_values(likelihood: Likelihood, schema: Schema, x: torch.Tensor) -> Bool[np.ndarray, "n *event"]:
    """Which elements, on the model's scale, the likelihood cannot score."""
    is_wrong: np.ndarray = (~likelihood.admits(x, schema.support.is_binary)).cpu().numpy()
    return is_wrong


def without_examples(collection: Collection, problems: dict[int, str]) -> Collection:
    """The examples without problems; in a table the problem rows remain, marked as unreadable."""
    skipped = (*collection.skipped, *problems.values())
    if collection.examples.layout == "table":
        values = collection.examples.values.copy()
        values[list(problems)] = np.nan
        return replace(
            collection,
            examples=replace(collection.examples, stored=values),
            skipped=skipped,
            unreadable={**collection.unreadable, **problems},
        )
    kept = np.setdiff1d(np.arange(len(collection.examples)), list(problems))
    if not len(kept):
        raise SchemaError(f"none of the examples can be scored; the first reason: {next(iter(problems.values()))}.")
    return replace(collection.subset(kept), skipped=skipped)


def _problems(collection: Collection, likelihood: Likelihood, schema: Schema) -> Iterator[tuple[int, str]]:
    """Each example with an unsupported value, and a message about its first one."""
    start = 0
    for x in Batches(collection.examples, BATCH_SIZE).examples:
        is_wrong = unsupported_values(likelihood, schema, x)
        for index in np.flatnonzero(is_wrong.reshape(len(x), -1).any(axis=1)).tolist():
            position = tuple(int(axis[0]) for axis in np.nonzero(is_wrong[index]))
            yield start + index, _sentence(collection, likelihood, schema, start + index, position)
        start += len(x)


def _accepted_cells(column: Column) -> str:
    """Accepted values of a column, on the model's scale."""
    if column.levels:
        return f"positions of its levels from 0 to {column.num_levels - 1} ({', '.join(column.levels[:8])})"
    return COUNTS if column.kind == "count" else NUMBERS


def _sentence(
    collection: Collection, likelihood: Likelihood, schema: Schema, index: int, position: Sequence[int]
) -> str:
    low, high = schema.range
    accepted = likelihood.accepted(schema.support.is_binary, low, high)
    if schema.layout == "table":
        accepted = _accepted_cells(schema.columns[position[0]])
    examples, where = collection.examples, position
    if schema.layout == "image":  # from torch's axes to the stored ones
        where = (position[1], position[2], position[0])
    value = float(examples.values[index][tuple(where)])
    if schema.layout == "table":
        element = f"column {schema.columns[position[0]].name!r}"
    else:
        element = f"element {','.join(map(str, where))}"
    name = collection.ids[index] if collection.ids else f"example {index}"
    place = f"{collection.place}: " if collection.place not in ("", name) else ""
    return f"{place}{name}, {element} is {value:.10g}; the model accepts {accepted}"
