"""with_labels_of(): training examples of which only some keep their label, as many of each level, for experiments."""

from dataclasses import replace

import numpy as np

from lowerbound.data.splits import Splits, checksum, split_order
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.schema import Column

SETTING = "data.num_labelled"


def with_labels_of(splits: Splits, num_labelled: int, seed: int) -> Splits:
    """The splits of which `num_labelled` training examples keep their condition; the others have NaN for it.

    Each level keeps the same number, drawn by `seed`. Validation and test examples keep theirs, with which accuracy is
    measured. ConfigError for a number that is not a multiple of the number of levels, or that a level does not have.
    """
    context = splits.train.context
    assert splits.schema is not None and context is not None
    column, positions = splits.schema.conditions[0], context[:, 0]
    kept = _chosen(positions, column, num_labelled, seed)
    reduced = np.full_like(context, np.nan)
    reduced[kept] = context[kept]
    train = replace(splits.train, context=reduced)
    note = f"{num_labelled:,} of {len(train):,} training examples keep their {column.name} ({SETTING})"
    notes = splits.notes if note in splits.notes else (*splits.notes, note)
    return replace(splits, train=train, notes=notes, checksum=checksum((train, splits.validation, splits.test)))


def _chosen(positions: np.ndarray, column: Column, num_labelled: int, seed: int) -> np.ndarray:
    num_levels = column.num_levels
    if num_labelled % num_levels:
        raise ConfigError(
            f"{SETTING} is {num_labelled}, which {num_levels} levels of {column.name!r} cannot share equally; use a "
            f"multiple of {num_levels}."
        )
    order = split_order(len(positions), seed)
    chosen = []
    for level, name in enumerate(column.levels):
        of_level = order[positions[order] == level]
        if len(of_level) < num_labelled // num_levels:
            raise ConfigError(
                f"{SETTING} is {num_labelled}, {num_labelled // num_levels} of each {column.name}, and only "
                f"{len(of_level)} training examples have {name!r}; use a smaller number."
            )
        chosen.append(of_level[: num_labelled // num_levels])
    return np.concatenate(chosen)
