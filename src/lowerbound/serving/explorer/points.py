"""The examples whose codes are shown: the run's own, of all its splits, one after the other.

An example's index counts through training, validation and test examples. Where pixels are drawn anew on every pass,
what is shown is their grey values, and what is encoded and scored is one draw of them, always the same.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8

from lowerbound.data.batches import scaled
from lowerbound.data.sources import Examples, Splits, load
from lowerbound.errors import DataError, LowerboundError
from lowerbound.evaluation.evaluate import data_convention
from lowerbound.serving.explorer.space import Arrays, Space, as_shown
from lowerbound.serving.explorer.wording import without_paths

MAX_POINTS = 70_000
CHUNK = 128
"""Examples that are encoded at once: few enough that others need not wait for long."""


@dataclass(frozen=True, eq=False)
class Points:
    """Examples of several splits, the first ones of each."""

    names: tuple[str, ...]  # of the splits
    parts: tuple[Examples, ...]
    label_names: tuple[str, ...]
    convention: str  # of log p(x|z); empty where these data cannot be scored
    data_name: str
    notes: tuple[str, ...]  # what was done to the data when they were read

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


def load_points(space: Space, data_dir: str = "") -> Points:
    """The run's examples, from where its configuration or `data_dir` says.

    DataError where they are not there, or are not those that the run was trained on.
    """
    config = space.experiment.data
    splits = load(replace(config, data_dir=data_dir or config.data_dir))
    if splits.checksum != space.stored["run"]["data_checksum"]:
        raise DataError(f"{splits.name} is no longer what the run was trained on (its checksum differs)")
    return points_of(splits, space)


def why_absent(space: Space, error: LowerboundError) -> str:
    """Why the run's examples cannot be had, in a sentence that names no place."""
    source = Path(space.experiment.data.source)
    return f"The run's data, {source.name}, cannot be had: {without_paths(str(error).rstrip('.'), source)}."


def points_of(splits: Splits, space: Space, most: int = MAX_POINTS) -> Points:
    """Test examples, then those that training watched, then so many training examples as there is room for."""
    # Where training watches the test examples, there are none held out beside them.
    held_out = {} if splits.watched == "test" else {"validation": splits.validation}
    room, chosen = most, {}
    for name, examples in ({"test": splits.test} | held_out | {"train": splits.train}).items():
        chosen[name] = _first(examples, room)
        room -= len(chosen[name])
    names = tuple(name for name in ("train", "validation", "test") if len(chosen.get(name, ())))
    parts = tuple(chosen[name] for name in names)
    return Points(names, parts, splits.label_names, _convention(splits, space), splits.name, splits.notes)


def chunks_of(points: Points) -> list[tuple[int, int]]:
    """All examples in parts that are encoded at once: the split's number, and where the part starts in it."""
    return [(split, start) for split, part in enumerate(points.parts) for start in range(0, len(part), CHUNK)]


def seen(points: Points, split: int, start: int) -> Float[torch.Tensor, "n *event"]:
    """A part of a split as the model sees it; drawn, where pixels are probabilities."""
    part = points.parts[split]
    return scaled(part.subset(np.arange(start, min(start + CHUNK, len(part)))))


def seen_one(points: Points, index: int) -> Float[torch.Tensor, "1 *event"]:
    """One example as it was encoded: a draw belongs to the whole part."""
    split, position = points.place(index)
    return seen(points, split, position - position % CHUNK)[position % CHUNK][None]


def pictures_of(points: Points, indices: list[int]) -> Arrays:
    """Examples as they are shown, grey where they are drawn on every pass."""
    places = np.array([points.place(index) for index in indices])
    x = torch.empty(len(indices), *points.parts[0].event_shape)
    for split in np.unique(places[:, 0]):
        chosen = np.flatnonzero(places[:, 0] == split)
        x[chosen] = scaled(replace(points.parts[split].subset(places[chosen, 1]), is_redrawn=False))
    return as_shown(points.parts[0].layout, x)


def _first(examples: Examples, most: int) -> Examples:
    return examples if len(examples) <= most else examples.subset(np.arange(most))


def _labels_of(part: Examples) -> Int32[np.ndarray, " n"]:
    return np.full(len(part), -1, np.int32) if part.labels is None else part.labels.astype(np.int32)


def _convention(splits: Splits, space: Space) -> str:
    try:
        return data_convention(space.model, splits)
    except DataError:
        return ""
