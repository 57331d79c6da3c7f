"""Splits and DataConfig: dividing examples into train, validation and test, binarisation, checksum.

Examples are put in a random order that depends only on `split_seed`, so that runs with different training seeds share
their splits and can be compared in pairs. Splits given by the data are kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Int64

from lowerbound.data.array_schema import checked_range
from lowerbound.data.binarisation import Binarisation, binarise
from lowerbound.data.examples import Collection, Examples
from lowerbound.data.images import Resize
from lowerbound.data.packed_rows import PackedValues
from lowerbound.data.reading import STANDARD_GIB, limit_from_setting, refuse
from lowerbound.data.table_examples import drop_unreadable
from lowerbound.data.tables import ColumnSetting
from lowerbound.foundation.arguments import named_arguments
from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.keywords import meaning
from lowerbound.foundation.schema import MISSING_MARKERS, Schema, Support
from lowerbound.foundation.settings import check_fields, setting
from lowerbound.foundation.text import pluralise

ValidationSource = Literal["held-out", "test"]
HeldOut = Literal["random", "last"]


@named_arguments
@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on."""

    source: str = setting("digits", meaning("data"))
    data_dir: str = setting("", meaning("data_dir"))
    split_seed: int = setting(
        0, "Seed of the splits, independent of the training seed, so that runs are paired.", at_least=0
    )
    validation: ValidationSource = setting("held-out", "Split that training monitors.")
    held_out: HeldOut = setting("random", "Training examples that are held out: random ones, or the last of the file.")
    num_held_out: int = setting(
        0, "Number of training examples that are held out; 0 is the source's own number.", at_least=0
    )
    num_labelled: int = setting(
        0,
        "Training examples that keep their label, the same number of each, for a model with a classifier; 0 keeps all.",
        at_least=0,
    )
    binarisation: Binarisation = setting(
        "none", "Binary pixels are drawn from grey ones: once (static), or on every pass (dynamic)."
    )
    binarisation_seed: int = setting(0, "Seed of binary pixels.", at_least=0)
    # For files and folders:
    size: str = setting("", meaning("size"))
    resize: Resize = setting("crop", meaning("resize"))
    skip_broken: bool = setting(False, meaning("skip_broken"))
    labels: str = setting("", meaning("labels"))
    factors: tuple[str, ...] = setting(
        (), "Factors of variation: the path of a table of them, or columns of a table that contain them."
    )
    max_gib: float = setting(STANDARD_GIB, meaning("max_gib"), above=0)
    # Inferred unless set here:
    layout: Literal["", "image", "array", "table"] = setting("", "Layout of an array; empty infers it.")
    range: tuple[float, ...] = setting((), "The stored numbers that become 0 and 1; empty infers them.")
    channels: int = setting(0, "Channels of image files: 1 converts to grey, 3 to colour; 0 keeps them.")
    columns: dict[str, ColumnSetting] = field(default_factory=dict)  # of a table, by their names
    exclude: tuple[str, ...] = setting((), "Columns of a table to leave out.")
    missing_markers: tuple[str, ...] = setting(
        MISSING_MARKERS, "Texts that mean a missing cell; an empty cell is always missing."
    )
    decimal: Literal["", ".", ","] = setting("", "Decimal sign of numbers in a CSV; empty infers it.")
    separator: str = setting("", "Character between the cells of a CSV; empty infers it.")

    @property
    def monitored_split(self) -> Literal["test", "validation"]:
        """The split whose scores training logs, and by which it stops."""
        return "test" if self.validation == "test" else "validation"


@named_arguments
@dataclass(frozen=True, eq=False)
class Splits:
    """Examples for training, for monitoring training, and for testing.

    Examples:
        >>> splits = lb.load_data(lb.DataConfig(source="digits"))
        >>> splits.train.values.shape, splits.label_names[:3]
        ((1257, 8, 8, 1), ('0', '1', '2'))
    """

    name: str
    train: Examples
    validation: Examples
    test: Examples
    label_names: tuple[str, ...]  # empty without labels
    monitored: Literal["validation", "test"]  # "test": validation equals test, and train includes the held-out examples
    source: str  # its origin
    binarisation: str  # in words; empty if pixels are not binarised
    checksum: str  # SHA-256 of values and labels
    skipped: tuple[str, ...] = ()  # files that could not be read, with the reason
    notes: tuple[str, ...] = ()  # preprocessing that was applied
    resized_to: tuple[int, int] | None = None  # width and height that some images were resized to
    schema: Schema | None = None  # None for splits constructed by hand
    test_ids: tuple[str, ...] = ()  # names of the test examples, such as files or row numbers; empty if unknown

    def __repr__(self) -> str:
        parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
        sizes = ", ".join(f"{len(part):,} {split}" for split, part in parts)
        shape = "×".join(map(str, self.train.event_shape))
        return f"Splits({self.name!r}: {sizes}; examples of shape {shape})"


@dataclass(frozen=True, eq=False)
class Pool:
    """The examples of a source before splitting: those to learn from, some to be held out, and test examples."""

    learn: Examples
    order: Int64[np.ndarray, " example"]  # which of `learn` belong here; the last `num_held_out` are held out
    num_held_out: int
    test: Examples
    collection: Collection
    read_from: str
    has_own_validation: bool = False  # the held-out examples are a predefined split
    test_ids: tuple[str, ...] = ()


def check_config(config: DataConfig) -> None:
    """ConfigError or UnknownName for an invalid setting."""
    check_fields(config, "data")
    if config.channels not in (0, 1, 3):
        raise ConfigError(f"data.channels is {config.channels}; accepted: 1 (grey) or 3 (colour).")
    checked_range(config.range)
    limit_from_setting(config.max_gib)
    if len(config.separator) > 1:
        raise ConfigError(f"data.separator is {config.separator!r}; accepted: one character.")


def split_pool(pool: Pool, name: str, source: str, config: DataConfig) -> Splits:
    """The splits of a pool, by a configuration."""
    is_monitoring_test = config.monitored_split == "test"
    num_held_out = config.num_held_out or pool.num_held_out
    if pool.has_own_validation and (num_held_out != pool.num_held_out or config.held_out != "random"):
        raise ConfigError(f"{name} has its own validation split; remove data.num_held_out and data.held_out.")
    if num_held_out >= len(pool.order):
        raise ConfigError(
            f"data.num_held_out is {num_held_out:,}, and {name} has {pluralise(len(pool.order), 'image')} to train on; "
            "hold out fewer."
        )
    order = pool.order if config.held_out == "random" else np.sort(pool.order)
    num_kept = len(order) - (0 if is_monitoring_test else num_held_out)
    train = pool.learn.subset(order[:num_kept])
    test = _binarised(pool.test, config, stream=2)
    validation = test if is_monitoring_test else _binarised(pool.learn.subset(order[num_kept:]), config, stream=1)
    is_redrawn = config.binarisation == "dynamic"
    train = replace(train, is_redrawn=True) if is_redrawn else _binarised(train, config, stream=0)
    return Splits(
        name=name,
        train=train,
        validation=validation,
        test=test,
        label_names=pool.collection.label_names,
        skipped=pool.collection.skipped,
        notes=pool.collection.notes,
        resized_to=pool.collection.resized_to,
        schema=_schema(pool.collection, config, (train, validation, test)),
        monitored="test" if is_monitoring_test else "validation",
        source=source,
        binarisation=binarisation_in_words(config),
        checksum=checksum((train, validation, test)),
        test_ids=pool.test_ids,
    )


def _schema(collection: Collection, config: DataConfig, parts: Sequence[Examples]) -> Schema | None:
    """The collection's schema with the support after binarisation and the size of image files."""
    if collection.schema is None:
        return None
    support = parts[0].support | parts[1].support | parts[2].support
    return completed_schema(
        collection.schema, support, config, collection.label_names, is_from_images=collection.is_from_images
    )


def completed_schema(
    schema: Schema, support: Support, config: DataConfig, label_names: tuple[str, ...], *, is_from_images: bool
) -> Schema:
    """A schema with what is known of the splits: their support, after binarisation, and the names of labels."""
    is_drawn = config.binarisation != "none"
    return replace(
        schema,
        support=replace(support, is_binary=support.is_binary or is_drawn),
        binarisation=config.binarisation,
        binarisation_seed=config.binarisation_seed,
        size=f"{schema.shape[1]}x{schema.shape[0]}" if is_from_images else "",
        resize=config.resize,
        label_names=label_names,
    )


def _binarised(examples: Examples, config: DataConfig, stream: int) -> Examples:
    return examples if config.binarisation == "none" else binarise(examples, config.binarisation_seed, stream)


def binarisation_in_words(config: DataConfig) -> str:
    """How pixels are binarised, for reports; empty if they are not."""
    if config.binarisation == "none":
        return ""
    return f"{config.binarisation} binarisation, seed {config.binarisation_seed}"


def random_pool(collection: Collection, num_held_out: int, num_test: int, split_seed: int, read_from: str) -> Pool:
    """Examples in a random order: the last are for testing, those before them will be held out."""
    # Splits keep the random order, so that their first images are a fair sample even of a file sorted by class.
    examples = collection.examples
    order = split_order(len(examples), split_seed)
    test = examples.subset(order[-num_test:])
    return Pool(examples, order[:-num_test], num_held_out, test, collection, read_from)


def pool_with_default_splits(place: str, collection: Collection, split_seed: int) -> Pool:
    """A tenth for validation and a tenth for testing, unless the data have their own splits."""
    collection = drop_unreadable(collection)
    own = OwnSplits(len(collection.examples), collection.num_validation, collection.num_test)
    divided = divide(place, own, split_seed)
    examples = collection.examples
    return Pool(
        examples,
        np.concatenate([divided.train, divided.validation]),
        len(divided.validation),
        examples.subset(divided.test),
        collection,
        place,
        has_own_validation=own.num_validation > 0,
        test_ids=_ids(collection, divided.test),
    )


def _ids(collection: Collection, chosen: Int64[np.ndarray, " index"]) -> tuple[str, ...]:
    """The names of some examples, or the numbers of rows in their table; empty for examples without either."""
    if collection.ids:
        return tuple(collection.ids[index] for index in chosen)
    return tuple(map(str, chosen)) if collection.examples.layout == "table" else ()


@dataclass(frozen=True)
class OwnSplits:
    """Number of examples of some data, and how many of them, at the end, are predefined splits."""

    num_examples: int
    num_validation: int = 0  # they precede the test split
    num_test: int = 0

    @property
    def num_learned(self) -> int:
        """Number of examples in no predefined split."""
        return self.num_examples - self.num_validation - self.num_test


@dataclass(frozen=True, eq=False)
class Division:
    """The examples of each split, in its order."""

    train: Int64[np.ndarray, " train"]
    validation: Int64[np.ndarray, " validation"]
    test: Int64[np.ndarray, " test"]


def divide(
    place: str, own: OwnSplits, split_seed: int, num_validation: int = 0, num_test: int = 0, most: int | None = None
) -> Division:
    """Training examples in random order, and those of predefined splits in their own.

    A missing split is drawn at random: `num_validation` and `num_test` examples or, where these are 0, a tenth of the
    others, at most `most`. ConfigError for sizes that the data do not allow, DataError for too few examples.
    """
    _check_enough(place, own)
    for key, size, given in (("validation", num_validation, own.num_validation), ("test", num_test, own.num_test)):
        if size and given and size != given:
            raise ConfigError(f"{place} has its own {key} split of {given:,}; leave out the size of another, {size:,}.")
    order = split_order(own.num_learned, split_seed)
    tenth = min(max(1, own.num_learned // 10), most or own.num_learned)
    drawn_test = 0 if own.num_test else num_test or tenth
    drawn_validation = 0 if own.num_validation else num_validation or tenth
    num_train = own.num_learned - drawn_validation - drawn_test
    if num_train < 1:
        came = f"{drawn_validation + drawn_test:,} examples are to be held out of {own.num_learned:,}"
        raise ConfigError(f"{came} in {place}; hold out fewer.")
    places = np.arange(own.num_learned, own.num_examples)
    of_validation, of_test = np.split(places, [own.num_validation])
    return Division(
        order[:num_train],
        of_validation if own.num_validation else order[num_train : num_train + drawn_validation],
        of_test if own.num_test else order[num_train + drawn_validation :],
    )


def _check_enough(place: str, own: OwnSplits) -> None:
    num_needed = 1 + (own.num_validation == 0) + (own.num_test == 0)
    if own.num_learned >= num_needed:
        return
    if num_needed == 3:
        refuse(place, f"contains {pluralise(own.num_examples, 'example')}; train, validation and test need at least 3")
    refuse(
        place,
        f"contains {pluralise(own.num_learned, 'training example')} besides its splits; it needs at least {num_needed}",
    )


def split_order(num_examples: int, split_seed: int) -> Int64[np.ndarray, " example"]:
    """A random order of the examples; equal arguments give equal orders, with any version of numpy."""
    # numpy guarantees the stream of a bit generator, but not the result of Generator.permutation.
    bits = np.random.PCG64(split_seed).random_raw(num_examples)
    return np.argsort(bits, kind="stable").astype(np.int64)


def checksum(parts: Sequence[Examples]) -> str:
    """SHA-256 over the types, shapes and bytes of images and labels, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part.range};".encode())
        if isinstance(part.stored, PackedValues):
            digest.update(part.stored.rows.digest)
            continue
        for array in (part.values, part.labels):
            if array is not None:
                digest.update(f"{array.dtype.str}{array.shape};".encode())
                digest.update(np.ascontiguousarray(array).data)
        # Labels as the only condition are already part of it: runs with and without them are compared in pairs.
        if part.context is not None and not part.is_given_labels:
            digest.update(np.ascontiguousarray(part.context).data)
    return digest.hexdigest()


def splits_for_evaluation(collection: Collection, schema: Schema) -> Splits:
    """Splits in which these examples serve as test, validation and training examples, for an evaluation."""
    return Splits(
        name=collection.place or "data",
        train=collection.examples,
        validation=collection.examples,
        test=collection.examples,
        label_names=collection.label_names,
        monitored="validation",
        source=collection.place,
        binarisation="",
        checksum=checksum([collection.examples]),
        schema=schema,
    )
