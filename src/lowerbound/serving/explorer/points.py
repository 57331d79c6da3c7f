"""Dataset: the run's examples of all splits, which are the points of the scatter, and their values for the model.

An example's index counts through the training, validation and test examples. If pixels are binarised dynamically, the
page shows their grey values, and one draw seeded from the image's values is encoded and scored.
"""

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int32, UInt8

from lowerbound.data.batches import context_of_all, scaled
from lowerbound.data.binarisation import binarise_by_content
from lowerbound.data.sources import Examples, Splits
from lowerbound.foundation.errors import DataError, LowerboundError
from lowerbound.foundation.schema import Schema
from lowerbound.models.vae import VAE
from lowerbound.runs.run_data import own_splits
from lowerbound.serving.explorer.loaded_run import Arrays, LoadedRun, displayed
from lowerbound.serving.explorer.messages import without_paths

MAX_POINTS = 70_000
CHUNK = 128
"""Examples encoded at once: few enough that waiting jobs start soon."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The first examples of each of several splits."""

    names: tuple[str, ...]  # of the splits
    parts: tuple[Examples, ...]
    label_names: tuple[str, ...]
    convention: str  # of log p(x|z)
    data_name: str
    notes: tuple[str, ...]  # about how the data were read
    schema: Schema

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def starts(self) -> tuple[int, ...]:
        """The index of each split's first example."""
        return tuple(accumulate((len(part) for part in self.parts[:-1]), initial=0))

    @property
    def labels(self) -> Int32[np.ndarray, " n"]:
        """The label of each example; -1 if unknown."""
        return np.concatenate([_labels_of(part) for part in self.parts])

    @property
    def split(self) -> UInt8[np.ndarray, " n"]:
        """The number of each example's split."""
        return np.repeat(np.arange(len(self.parts)), [len(part) for part in self.parts]).astype(np.uint8)

    @property
    def is_redrawn(self) -> bool:
        """Whether pixels are probabilities, binarised again in every epoch."""
        return any(part.is_redrawn for part in self.parts)

    def place(self, index: int) -> tuple[int, int]:
        """The split of an example, and its position in it; DataError for an index out of range."""
        if not 0 <= index < len(self):
            raise DataError(f"no example {index}; the indices are 0 to {len(self) - 1}.")
        split = int(np.searchsorted(self.starts, index, side="right")) - 1
        return split, index - self.starts[split]


def load_points(loaded: LoadedRun, data: str = "", data_dir: str = "") -> Dataset:
    """The run's examples, from `data` or their original location.

    LowerboundError if they are missing, or are not those that the run was trained on.
    """
    return points_of(own_splits(loaded.path, data=data, data_dir=data_dir), loaded)


def reason_unavailable(loaded: LoadedRun, error: LowerboundError, data: str = "") -> str:
    """Why the run's examples are unavailable, as a sentence without paths."""
    about, config = loaded.config["run"], loaded.experiment.data
    given = (about.get("data_path"), about.get("labels_path"), data, config.source, config.labels)
    places = [Path(place) for place in given if place]
    reason = without_paths(str(error).rstrip("."), *places, loaded.path)
    reason = reason.removeprefix(f"the data of {loaded.path.resolve().name} cannot be read: ")
    return f"The run's data, {Path(config.source).name}, are unavailable: {reason}."


def points_of(splits: Splits, loaded: LoadedRun, most: int = MAX_POINTS) -> Dataset:
    """The test examples, then the validation examples, then as many training examples as fit."""
    # If training monitors the test examples, there is no separate validation split.
    held_out = {} if splits.monitored == "test" else {"validation": splits.validation}
    room, chosen = most, {}
    for name, examples in ({"test": splits.test} | held_out | {"train": splits.train}).items():
        chosen[name] = examples.first(room)
        room -= len(chosen[name])
    names = tuple(name for name in ("train", "validation", "test") if len(chosen.get(name, ())))
    parts = tuple(chosen[name] for name in names)
    convention = loaded.trained.convention
    return Dataset(names, parts, splits.label_names, convention, splits.name, splits.notes, loaded.schema)


def chunks_of(points: Dataset) -> list[tuple[int, int]]:
    """All examples in chunks that are encoded at once: the split's number, and the chunk's start in it."""
    return [(split, start) for split, part in enumerate(points.parts) for start in range(0, len(part), CHUNK)]


def model_input(points: Dataset, split: int, start: int, num: int = CHUNK) -> Float[torch.Tensor, "n *event"]:
    """A chunk of a split on the model's scale; binarised, seeded from their values, if pixels are probabilities."""
    whole = points.parts[split]
    part = replace(whole.subset(np.arange(start, min(start + num, len(whole)))), is_redrawn=False)
    return scaled(binarise_by_content(part, points.schema.binarisation_seed) if whole.is_redrawn else part)


def model_of(model: VAE, points: Dataset, split: int, start: int, num: int = CHUNK) -> VAE:
    """The model with the context of a chunk of a split, which is the examples' own; the model itself without one."""
    whole = points.parts[split]
    device = next(model.parameters()).device
    return model.given(context_of_all(whole.subset(np.arange(start, min(start + num, len(whole)))), device))


def one_model_input(points: Dataset, index: int) -> Float[torch.Tensor, "1 *event"]:
    """One example, as it is encoded."""
    return model_input(points, *points.place(index), num=1)


def displayed_examples(points: Dataset, indices: list[int]) -> Arrays:
    """Examples as the page displays them; grey values if pixels are probabilities."""
    places = np.array([points.place(index) for index in indices])
    x = torch.empty(len(indices), *points.parts[0].event_shape)
    for split in np.unique(places[:, 0]):
        chosen = np.flatnonzero(places[:, 0] == split)
        x[chosen] = scaled(replace(points.parts[split].subset(places[chosen, 1]), is_redrawn=False))
    return displayed(points.schema, x)


def _labels_of(part: Examples) -> Int32[np.ndarray, " n"]:
    return np.full(len(part), -1, np.int32) if part.labels is None else np.asarray(part.labels, np.int32)
