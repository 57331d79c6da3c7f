"""load_packed(): the splits of packed data; training examples stay on disk, held-out ones are read into memory."""

import hashlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from lowerbound.data.binarisation import binarise, draw_pixels
from lowerbound.data.examples import Examples
from lowerbound.data.packed_files import STATISTICS, Manifest, read_manifest
from lowerbound.data.packed_rows import PackedLabels, PackedRows, PackedValues, Statistics, Transform
from lowerbound.data.reading import limit_from_setting, refuse
from lowerbound.data.remote import Location
from lowerbound.data.splits import DataConfig, Splits, binarisation_in_words
from lowerbound.data.unread_settings import check_unset
from lowerbound.foundation.errors import DataError, RunError
from lowerbound.foundation.schema import Schema, Support
from lowerbound.foundation.tensor_files import load_tensors

FREE_SETTINGS = ("source", "data_dir", "binarisation", "binarisation_seed", "max_gib")
"""Settings that apply to packed data; all others were decided when the data were packed."""

STREAMS = {"train": 0, "validation": 1, "test": 2}
"""The splits, with the stream from which their pixels are drawn."""

MADE_FOR_A_RUN = "it was packed for a trained model, and training needs a train, a validation and a test split"


def load_packed(location: Location, config: DataConfig) -> Splits:
    """The splits of packed data. ConfigError for a setting that packing has decided, DataError for damage."""
    _check_settings(config)
    manifest = read_manifest(location)
    for name in STREAMS:
        if name not in manifest.splits:
            refuse(location.source, f"has no {name} split: {MADE_FOR_A_RUN}")
    return Splits(
        name=Path(str(location)).name,
        train=_train(location, manifest, config),
        validation=_held_out(location, manifest, "validation", config),
        test=_held_out(location, manifest, "test", config),
        label_names=manifest.schema.label_names,
        monitored="validation",
        source=f"{manifest.name}, packed",
        binarisation=binarisation_in_words(config),
        checksum=_checksum(manifest, config),
        skipped=manifest.skipped,
        notes=manifest.notes,
        schema=_schema(manifest, config),
    )


def packed_examples(location: Location, manifest: Manifest) -> Examples:
    """All examples of packed data, on disk: those of its splits one after another."""
    splits = [manifest.splits[name] for name in STREAMS if name in manifest.splits]
    support = splits[0].support
    for split in splits[1:]:
        support = support | split.support
    rows = PackedRows(location, manifest, [shard for split in splits for shard in split.shards])
    return _examples(rows, PackedValues(rows, support))


def _check_settings(config: DataConfig) -> None:
    decided = (field.name for field in fields(DataConfig) if field.name not in FREE_SETTINGS)
    check_unset(config, decided, "is decided when data are packed; remove it, or pack the data again with it.")


def _train(location: Location, manifest: Manifest, config: DataConfig) -> Examples:
    split, statistics = manifest.splits["train"], read_statistics(location, manifest)
    if config.binarisation == "static":
        rows = PackedRows(location, manifest, split.shards, _drawing(manifest, config.binarisation_seed))
        values = PackedValues(rows, DRAWN, _of_draws(statistics, manifest))
        return replace(_examples(rows, values), min_value=0.0, max_value=1.0)
    rows = PackedRows(location, manifest, split.shards)
    examples = _examples(rows, PackedValues(rows, split.support, statistics))
    return replace(examples, is_redrawn=config.binarisation == "dynamic")


DRAWN = Support(0.0, 1.0, num_levels=2, is_binary=True)
"""The support of drawn pixels."""


def _held_out(location: Location, manifest: Manifest, name: str, config: DataConfig) -> Examples:
    split = manifest.splits[name]
    rows = PackedRows(location, manifest, split.shards)
    num_bytes = split.rows * rows.row_bytes
    limit_from_setting(config.max_gib).check(
        f"{location}, split {name},", num_bytes, "is read into memory and takes", "pack with fewer held-out examples"
    )
    examples = _examples(rows, PackedValues(rows, split.support)).first(split.rows)
    drawn = config.binarisation != "none"
    return binarise(examples, config.binarisation_seed, STREAMS[name]) if drawn else examples


def _examples(rows: PackedRows, values: PackedValues) -> Examples:
    schema = rows.manifest.schema
    return Examples(
        values,
        schema.range[1],
        PackedLabels(rows) if schema.label_names else None,
        layout=schema.layout,
        columns=schema.columns,
        min_value=schema.range[0],
    )


def _drawing(manifest: Manifest, seed: int) -> Transform:
    """Draws the pixels of consecutive images, as `binarise` draws those of all images in memory."""
    low, high = manifest.schema.range

    def draw(values: np.ndarray, first: int) -> np.ndarray:
        stream = np.random.PCG64([seed, STREAMS["train"]])
        stream.advance(first * int(np.prod(values.shape[1:])))  # a number for each pixel before
        return draw_pixels((values - low) / (high - low), np.random.Generator(stream))

    return draw


def _of_draws(grey: Statistics, manifest: Manifest) -> Statistics:
    """Mean and deviation of a pixel that is drawn, for its mean grey value."""
    low, high = manifest.schema.range
    mean = (grey.mean - low) / (high - low)
    return Statistics(mean, np.sqrt(mean * (1 - mean)))


def read_statistics(location: Location, manifest: Manifest) -> Statistics:
    """Mean and standard deviation of the training split; DataError if their file is damaged."""
    try:
        tensors, _ = load_tensors(location.as_local(STATISTICS))
        mean, deviation = (tensors[name].double().numpy() for name in ("mean", "deviation"))
    except (RunError, KeyError) as error:
        raise DataError(f"{location}/{STATISTICS} cannot be read ({error}).") from error
    if mean.shape != manifest.schema.shape or deviation.shape != manifest.schema.shape:
        refuse(f"{location}/{STATISTICS}", "belongs to other data; restore it, or pack the data again")
    return Statistics(mean, deviation)


def _schema(manifest: Manifest, config: DataConfig) -> Schema:
    support = manifest.splits["train"].support | manifest.splits["validation"].support | manifest.splits["test"].support
    is_drawn = config.binarisation != "none"
    return replace(
        manifest.schema,
        support=replace(support, is_binary=support.is_binary or is_drawn),
        binarisation=config.binarisation,
        binarisation_seed=config.binarisation_seed,
    )


def _checksum(manifest: Manifest, config: DataConfig) -> str:
    if config.binarisation == "none":
        return manifest.checksum
    drawn = f"{manifest.checksum}/{config.binarisation}/{config.binarisation_seed}"
    return hashlib.sha256(drawn.encode()).hexdigest()
