"""The examples whose codes are shown: the run's own, of all its splits, one after the other.

An example's index counts through training, validation and test examples. Where pixels are drawn anew on every pass,
what is shown is their grey values, and what is encoded and scored is one draw of them, keyed by the image's content.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8

from lowerbound.data.batches import scaled
from lowerbound.data.binarisation import binarise_by_content
from lowerbound.data.sources import Examples, Splits
from lowerbound.foundation.errors import DataError, LowerboundError
from lowerbound.foundation.schema import Schema
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.explorer.loaded_run import Arrays, Space, as_shown
from lowerbound.serving.explorer.messages import without_paths

MAX_POINTS = 70_000
CHUNK = 128
"""Examples that are encoded at once: few enough that others need not wait for long."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples of several splits, the first ones of each."""

    names: tuple[str, ...]  # of the splits
    parts: tuple[Examples, ...]
    label_names: tuple[str, ...]
    convention: str  # of log p(x|z)
    data_name: str
    notes: tuple[str, ...]  # what was done to the data when they were read
    schema: Schema

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def starts(self) -> tuple[int, ...]:
        """The index at which each split begins."""
        return tuple(accumulate((len(part) for part in self.parts[:-1]), initial=0))

    @property
    def labels(self) -> Int32[np.ndarray, " n"]:
        """Of each example; -1 where it is not known."""
        return np.concatenate([_labels_of(part) for part in self.parts])

    @property
    def split(self) -> UInt8[np.ndarray, " n"]:
        """The number of each example's split."""
        return np.repeat(np.arange(len(self.parts)), [len(part) for part in self.parts]).astype(np.uint8)

    @property
    def is_redrawn(self) -> bool:
        """Whether pixels are probabilities, drawn anew on every pass."""
        return any(part.is_redrawn for part in self.parts)

    def place(self, index: int) -> tuple[int, int]:
        """The split of an example, and its position there; DataError if there is no such example."""
        if not 0 <= index < len(self):
            raise DataError(f"there is no example {index}; they are numbered from 0 to {len(self) - 1}.")
        split = int(np.searchsorted(self.starts, index, side="right")) - 1
        return split, index - self.starts[split]


def load_points(space: Space, data: str = "", data_dir: str = "") -> Dataset:
    """The run's examples, from `data` or where they were.

    A LowerboundError where they are not there, or are not those that the run was trained on.
    """
    return points_of(own_splits(space.path, data=data, data_dir=data_dir), space)


def why_absent(space: Space, error: LowerboundError, data: str = "") -> str:
    """Why the run's examples are unavailable, in a sentence that names no place."""
    about, config = space.stored["run"], space.experiment.data
    given = (about.get("data_path"), about.get("labels_path"), data, config.source, config.labels)
    places = [Path(place) for place in given if place]
    reason = without_paths(str(error).rstrip("."), *places, space.path)
    reason = reason.removeprefix(f"the data of {space.path.resolve().name} cannot be read: ")
    return f"The run's data, {Path(config.source).name}, are unavailable: {reason}."


def points_of(splits: Splits, space: Space, most: int = MAX_POINTS) -> Dataset:
    """Test examples, then those that training watched, then so many training examples as there is room for."""
    # Where training watches the test examples, there are none held out beside them.
    held_out = {} if splits.watched == "test" else {"validation": splits.validation}
    room, chosen = most, {}
    for name, examples in ({"test": splits.test} | held_out | {"train": splits.train}).items():
        chosen[name] = _first(examples, room)
        room -= len(chosen[name])
    names = tuple(name for name in ("train", "validation", "test") if len(chosen.get(name, ())))
    parts = tuple(chosen[name] for name in names)
    convention = space.trained.convention
    return Dataset(names, parts, splits.label_names, convention, splits.name, splits.notes, space.schema)


def chunks_of(points: Dataset) -> list[tuple[int, int]]:
    """All examples in parts that are encoded at once: the split's number, and where the part starts in it."""
    return [(split, start) for split, part in enumerate(points.parts) for start in range(0, len(part), CHUNK)]


def seen(points: Dataset, split: int, start: int, num: int = CHUNK) -> Float[torch.Tensor, "n *event"]:
    """A part of a split as the model sees it; drawn by content, where pixels are probabilities."""
    whole = points.parts[split]
    part = replace(whole.subset(np.arange(start, min(start + num, len(whole)))), is_redrawn=False)
    return scaled(binarise_by_content(part, points.schema.binarisation_seed) if whole.is_redrawn else part)


def seen_one(points: Dataset, index: int) -> Float[torch.Tensor, "1 *event"]:
    """One example as it was encoded."""
    return seen(points, *points.place(index), num=1)


def pictures_of(points: Dataset, indices: list[int]) -> Arrays:
    """Examples as they are shown, grey where they are drawn on every pass."""
    places = np.array([points.place(index) for index in indices])
    x = torch.empty(len(indices), *points.parts[0].event_shape)
    for split in np.unique(places[:, 0]):
        chosen = np.flatnonzero(places[:, 0] == split)
        x[chosen] = scaled(replace(points.parts[split].subset(places[chosen, 1]), is_redrawn=False))
    return as_shown(points.schema, x)


def _first(examples: Examples, most: int) -> Examples:
    return examples if len(examples) <= most else examples.subset(np.arange(most))


def _labels_of(part: Examples) -> Int32[np.ndarray, " n"]:
    return np.full(len(part), -1, np.int32) if part.labels is None else part.labels.astype(np.int32)
