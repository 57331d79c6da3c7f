"""`inspect`: what a source, file or folder contains, and what training on it would choose."""

import json
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil
from pathlib import Path

import numpy as np

from lowerbound.data.batches import scaled
from lowerbound.data.column_writers import check_output
from lowerbound.data.data_kinds import describe_examples, kind_of
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.sources import DataConfig, collect
from lowerbound.data.table_examples import drop_unreadable
from lowerbound.evaluation.generation import to_images
from lowerbound.foundation.schema import Column, Schema
from lowerbound.foundation.storage import write_bytes
from lowerbound.foundation.text_files import toml_key
from lowerbound.reporting.tiles import as_png, compose, displayable, fit_tiles
from lowerbound.runs.auto_config import Choice, choose
from lowerbound.runs.experiment import Settings

NUM_BINS = 40
MAX_BINNED = 10_000_000  # values that a histogram is made of
SHEET_COLUMNS = 10
SHEET_ROWS = 6
TILE_SIZE = 72  # pixels


@dataclass(frozen=True, kw_only=True)
class ColumnFound:
    """One column of a table, and a summary of its cells."""

    name: str
    kind: str
    levels: tuple[str, ...]
    num_missing: int
    low: float | None  # of numeric columns and counts
    high: float | None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """The contents of data, and the settings that training on them would choose."""

    num_examples: int
    shape: tuple[int, ...]  # of one example, channels first for images
    kind: str
    about: str  # the above, as text
    low: float  # of the values as they are stored
    high: float
    num_missing: int  # cells of a table
    histogram: tuple[int, ...]  # NUM_BINS counts from low to high
    labels: dict[str, int]  # how many examples of each
    num_duplicates: int  # examples that are equal to an earlier one
    columns: tuple[ColumnFound, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    settings: tuple[str, ...]  # the schema, as section.key=value
    choices: tuple[Choice, ...]
    sheet: str = ""  # path of a contact sheet; empty if the examples are not images


def inspect(config: DataConfig, out: Path | None = None, settings: Settings | None = None) -> Inspection:
    """Summarise all examples of a source, file or folder; a contact sheet of images is written to `out`.

    `settings` are those of the user, which choices depend on.
    """
    if out is not None:
        check_output(out, [config.source], is_table=False)
    infers = bool((settings or {}).get("model", {}).get("classifier"))
    collection = drop_unreadable(collect(config, partly_labelled=infers))
    examples = collection.examples
    known = examples.values[~np.isnan(examples.values)] if examples.layout == "table" else examples.values.reshape(-1)
    if collection.schema is not None and any(collection.schema.offset):
        known = (examples.values + np.reshape(collection.schema.offset, collection.schema.shape)).reshape(-1)
    low, high = float(known.min()), float(known.max())
    sheet = out if out is not None and examples.layout == "image" else None
    if sheet is not None:
        write_bytes(sheet, _sheet(examples))
    return Inspection(
        num_examples=len(examples),
        shape=examples.event_shape,
        kind=kind_of(examples),
        about=describe_examples(len(examples), examples),
        low=low,
        high=high,
        num_missing=examples.values.size - known.size,
        histogram=_histogram(known, low, high),
        labels=_label_counts(collection),
        num_duplicates=_num_duplicates(examples),
        columns=tuple(
            _found(column, cells) for column, cells in zip(examples.columns, examples.values.T, strict=False)
        ),
        skipped=collection.skipped,
        notes=collection.notes,
        settings=()
        if collection.schema is None
        else schema_settings(collection.schema, known.size < examples.values.size),
        choices=choose(examples, settings),
        sheet=str(sheet or ""),
    )


def schema_settings(schema: Schema, has_missing: bool = False) -> tuple[str, ...]:
    """A schema as settings, section.key=value; with the markers of missing cells if there are any."""
    if schema.layout != "table":
        low, high = schema.range
        return f'data.layout="{schema.layout}"', f"data.range=[{low:g}, {high:g}]"
    kinds = [f'data.columns.{toml_key(column.name)}.kind="{column.kind}"' for column in schema.columns]
    others = [f"data.exclude={json.dumps(schema.left_out, ensure_ascii=False)}"] if schema.left_out else []
    others += [f'data.decimal="{schema.decimal}"'] if schema.decimal != "." else []
    others += [f"data.separator={json.dumps(schema.separator)}"] if schema.separator else []
    if has_missing and not schema.dtype:
        others.append(f"data.missing_markers={json.dumps(schema.missing_markers, ensure_ascii=False)}")
    return (*others, *kinds)


def _found(column: Column, cells: np.ndarray) -> ColumnFound:
    known = cells[~np.isnan(cells)]
    low = high = None
    if known.size and not column.levels:
        low, high = (_without_noise(column, value) for value in (known.min(), known.max()))
    return ColumnFound(
        name=column.name,
        kind=column.kind,
        levels=column.levels,
        num_missing=cells.size - known.size,
        low=low,
        high=high,
    )


def _without_noise(column: Column, value: np.float32) -> float:
    """A number of a column in its unit, with the digits that float32 has: 0.1 rather than 0.10000000149."""
    if column.offset:
        return float(column.as_drawn(np.array([value]))[0])
    return float(str(np.float32(value)))


def _histogram(values: np.ndarray, low: float, high: float) -> tuple[int, ...]:
    # A regular sample is enough: the bars need only a few percent of precision.
    stride = ceil(values.size / MAX_BINNED)
    counts, _ = np.histogram(values[::stride], NUM_BINS, (low, high if high > low else low + 1))
    return tuple(int(count) * stride for count in counts)


def _label_counts(collection: Collection) -> dict[str, int]:
    labels = collection.examples.labels
    if labels is None:
        return {}
    counts = np.bincount(np.asarray(labels), minlength=len(collection.label_names))
    return dict(zip(collection.label_names, counts.tolist(), strict=True))


def _num_duplicates(examples: Examples) -> int:
    seen = {blake2b(np.ascontiguousarray(value).data, digest_size=16).digest() for value in examples.values}
    return len(examples) - len(seen)


def _sheet(examples: Examples) -> bytes:
    """A contact sheet of randomly chosen images, as PNG."""
    stream = np.random.Generator(np.random.PCG64(0))
    num = min(SHEET_COLUMNS * SHEET_ROWS, len(examples))
    chosen = np.sort(stream.permutation(len(examples))[:num])
    tiles = displayable(to_images(scaled(examples.subset(chosen))))
    return as_png(compose(fit_tiles(tiles, TILE_SIZE, TILE_SIZE), min(SHEET_COLUMNS, num), gap=2))
