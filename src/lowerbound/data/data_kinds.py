"""The kind of data (binary, grey, colour, counts, table ...), inferred from values and axes; descriptions of shapes."""

from collections.abc import Sequence
from typing import Literal

from lowerbound.data.array_schema import OVERSHOOT
from lowerbound.data.examples import Examples
from lowerbound.data.reading import format_shape, printable
from lowerbound.foundation.schema import LARGEST_COUNT, UNSCALED, Column, Support
from lowerbound.foundation.text import pluralise

Kind = Literal["binary", "grey", "colour", "levels", "unit", "counts", "real", "table"]

MOST_NAMED = 20  # columns

KINDS: dict[Kind, str] = {
    "binary": "black-and-white images, or other data of only 0 and 1",
    "grey": "grey images with discrete levels, such as 8-bit images",
    "colour": "images of several channels with discrete levels, such as 8-bit images",
    "levels": "arrays with discrete levels, such as 8-bit values",
    "unit": "numbers within a range, scaled to [0, 1]",
    "counts": "non-negative integers",
    "real": "real numbers",
    "table": "columns of different kinds, or with missing cells",
}


def kind_of(examples: Examples) -> Kind:
    """The kind of a set of examples."""
    support = examples.support
    if examples.layout == "table":
        return "table"
    if support.is_binary:
        return "binary"
    if support.num_levels:
        return _kind_on_levels(examples)
    if _are_in_unit_interval(examples, support):
        return "unit"
    return "counts" if _are_counts(support) else "real"


def describe_examples(num_examples: int, examples: Examples) -> str:
    """`num_examples`, and the shape and kind of `examples`, in words."""
    kind = kind_of(examples)
    shape = examples.event_shape
    is_array = examples.layout != "image" and len(shape) > 1
    words = f"of shape {format_shape(shape)}" if is_array else describe_shape(shape)
    return f"{pluralise(num_examples, 'example')} {words}; {kind}: {KINDS[kind]}"


def describe_shape(event_shape: Sequence[int]) -> str:
    """The shape of an example in words; images as width × height."""
    if len(event_shape) == 1:
        return f"of {pluralise(event_shape[0], 'value')}"
    if len(event_shape) != 3:
        return f"of shape {format_shape(event_shape)}"
    channels, height, width = event_shape
    return f"of {width}×{height} pixels with {pluralise(channels, 'channel')}"


def describe_columns(columns: Sequence[Column]) -> str:
    """The kind of each column of a table, for the first columns."""
    words = [
        f"{printable(column.name)} {column.kind}" + (f" ({column.num_levels} levels)" if column.num_levels > 2 else "")
        for column in columns[:MOST_NAMED]
    ]
    more = f", and {len(columns) - MOST_NAMED:,} more" if len(columns) > MOST_NAMED else ""
    return ", ".join(words) + more


def _kind_on_levels(examples: Examples) -> Kind:
    if examples.layout != "image":
        return "levels"
    return "grey" if examples.event_shape[0] == 1 else "colour"


def _are_in_unit_interval(examples: Examples, support: Support) -> bool:
    """Includes images on another scale, and images slightly beyond their range after resampling."""
    margin = OVERSHOOT if examples.layout == "image" else 0.0
    is_scaled_image = examples.layout == "image" and examples.range != UNSCALED
    return is_scaled_image or (support.low >= -margin and support.high <= 1 + margin)


def _are_counts(support: Support) -> bool:
    return support.is_integer and support.low >= 0 and support.high <= LARGEST_COUNT
