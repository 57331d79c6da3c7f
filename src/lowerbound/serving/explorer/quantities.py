"""Quantities of examples, which can colour the plane: scores of test examples, columns of a table, known factors."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from lowerbound.foundation.errors import DataError
from lowerbound.reporting.wording import score_title
from lowerbound.serving.explorer.loaded_run import LoadedRun
from lowerbound.serving.explorer.points import Dataset, displayed_examples

SUFFIX = "_per_image"  # of the results' arrays with one number per test example
UNITS = {"squared_error": "per element", "pareto_k": "", "effective_sample_size": "draws"}  # others are in nats
COLUMN, FACTOR = "column:", "factor:"
MAX_LEVELS = 250  # that have a colour each
BATCH = 4096


@dataclass(frozen=True)
class Quantity:
    """A number, or one of several levels, of each example."""

    name: str
    title: str
    unit: str = ""
    levels: tuple[str, ...] = ()  # of which the values are positions; empty for numbers
    split: str = ""  # the only split in which it is known; empty if it is known in all


def quantities_of(loaded: LoadedRun, points: Dataset | None) -> list[Quantity]:
    """What is known about the examples, without their labels and splits."""
    return [*_scores(loaded), *(_columns(loaded) if points else ()), *(_factors(points) if points else ())]


def values_of(loaded: LoadedRun, points: Dataset | None, name: str) -> Float32[np.ndarray, " n"]:
    """A quantity of every example, NaN where it is unknown; DataError for an unknown name."""
    if name not in {quantity.name for quantity in quantities_of(loaded, points)}:
        raise DataError(f"no quantity {name[:100]!r}; the description of the run lists them.")
    if points is not None and is_column(name):
        return _column(points, int(name.removeprefix(COLUMN)))
    if points is not None and name.startswith(FACTOR):
        return _factor(points, int(name.removeprefix(FACTOR)))
    return _of_test_examples(loaded.results[name + SUFFIX], points)


def is_column(name: str) -> bool:
    """Whether a quantity is a column of the run's table."""
    return name.startswith(COLUMN)


def _scores(loaded: LoadedRun) -> Iterator[Quantity]:
    """Scores that were computed for the whole test split."""
    num_test = len(loaded.results.get("latent_mean", ()))
    for key in sorted(loaded.results):
        if key.endswith(SUFFIX) and len(loaded.results[key]) == num_test:
            name = key.removesuffix(SUFFIX)
            yield Quantity(name, score_title(name.replace("_", "-")), UNITS.get(name, "nats"), split="test")


def _columns(loaded: LoadedRun) -> Iterator[Quantity]:
    for number, column in enumerate(loaded.schema.columns):
        levels = tuple(map(str, column.levels)) if len(column.levels) <= MAX_LEVELS else ()
        yield Quantity(f"{COLUMN}{number}", column.name, levels=levels)


def _factors(points: Dataset) -> Iterator[Quantity]:
    factors = points.parts[-1].factors
    if factors is not None and all(part.factors is not None for part in points.parts):
        for number, (name, levels) in enumerate(zip(factors.names, factors.levels, strict=True)):
            yield Quantity(f"{FACTOR}{number}", name, levels=tuple(map(str, levels[:MAX_LEVELS])))


def _of_test_examples(values: np.ndarray, points: Dataset | None) -> Float32[np.ndarray, " n"]:
    if points is None:
        return values.astype(np.float32)
    found = np.full(len(points), np.nan, np.float32)
    if "test" in points.names:
        split = points.names.index("test")
        start, count = points.starts[split], len(points.parts[split])
        found[start : start + count] = values[:count]
    return found


def _column(points: Dataset, number: int) -> Float32[np.ndarray, " n"]:
    ranges = [range(start, min(start + BATCH, len(points))) for start in range(0, len(points), BATCH)]
    parts = [displayed_examples(points, list(rows))["values"][:, number] for rows in ranges]
    return np.concatenate(parts).astype(np.float32)


def _factor(points: Dataset, number: int) -> Float32[np.ndarray, " n"]:
    codes = [part.factors.codes[:, number] for part in points.parts if part.factors is not None]
    return np.concatenate(codes).astype(np.float32)
