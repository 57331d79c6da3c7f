"""What a trained model is asked about: a run's test examples, a source's, or the files that someone gives."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.examples import Collection, Layout
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.images import IMAGE_SUFFIXES, ImageOptions, read_image_files
from lowerbound.data.kinds import shape_in_words
from lowerbound.data.sources import SOURCES, DataConfig, Examples, load, reading_options
from lowerbound.errors import DataError, UsageError
from lowerbound.model import VAE
from lowerbound.run import read_experiment


def read_inputs(
    run: Path, model: VAE, inputs: Sequence[str], data_dir: str = "", skip_broken: bool = False
) -> Collection:
    """The run's test examples, a source's, all of a file or folder, or image files; DataError if they do not fit.

    Files are read as the run's own data were: brought to the same size, a table's columns by their names.
    """
    config = read_experiment(run)[1].data
    if not inputs:
        splits = load(replace(config, data_dir=data_dir or config.data_dir))
        return Collection(splits.test, splits.label_names)
    if len(inputs) == 1 and inputs[0] in SOURCES:
        splits = load(DataConfig(source=inputs[0], data_dir=data_dir))
        return _fitting(model, Collection(splits.test, splits.label_names), inputs)
    options = options_of(replace(config, skip_broken=skip_broken), model)
    if len(inputs) == 1:
        return _fitting(model, read(Path(inputs[0]), options), inputs)
    others = [name for name in inputs if Path(name).suffix.lower() not in IMAGE_SUFFIXES]
    if others:
        raise UsageError(
            f"{others[0]} is no image file; give one file or folder, or several {', '.join(IMAGE_SUFFIXES)}."
        )
    return _fitting(model, read_image_files([Path(name) for name in inputs], options.images), inputs)


def read_one(run: Path, model: VAE, name: str, data_dir: str = "") -> Examples:
    """One example: a test example by its number, or the first of a file."""
    if not name.isdigit():
        return read_inputs(run, model, [name], data_dir).examples.subset(np.array([0]))
    test = read_inputs(run, model, [], data_dir).examples
    if int(name) >= len(test):
        raise UsageError(f"there is no test example {name}; they are numbered from 0 to {len(test) - 1}.")
    return test.subset(np.array([int(name)]))


def layout_of(run: Path) -> Layout:
    """What a run's examples are: "image", "array" or "table"."""
    return layout_in(read_experiment(run)[0])


def layout_in(stored: dict[str, Any]) -> Layout:
    """The same, as a config.toml says; those of older versions are all of images."""
    layout: Layout = stored["run"].get("layout", "image")
    return layout


def options_of(config: DataConfig, model: VAE) -> ReadingOptions:
    """How files are read for a model: as its own data were, brought to the same size, columns by their names."""
    options = reading_options(replace(config, labels=""))
    images = options.images
    if len(model.event_shape) == 3:
        num_channels, height, width = model.event_shape
        # Whoever trains on files of one size means that size; those of a named source are of no other.
        size = images.size if config.source in SOURCES else (width, height)
        images = replace(images, num_channels=num_channels, size=size)
    return replace(options, images=images, columns=model.config.columns)


def image_options(config: DataConfig, model: VAE) -> ImageOptions:
    """How one image file from anywhere is read for a model: brought to its size and colours, whatever it is."""
    _, height, width = model.event_shape
    return replace(options_of(config, model).images, size=(width, height), skip_broken=False)


def _fitting(model: VAE, collection: Collection, inputs: Sequence[str]) -> Collection:
    shape = collection.examples.event_shape
    if shape != model.event_shape:
        came = f"{', '.join(inputs)}: examples are {shape_in_words(shape)}"
        raise DataError(f"{came}, the model was trained on {shape_in_words(model.event_shape)}.")
    return collection
