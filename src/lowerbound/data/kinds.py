"""What kind of data examples are, as their values and axes tell."""

from collections.abc import Sequence
from typing import Literal

from lowerbound.data.examples import Examples
from lowerbound.data.reading import times
from lowerbound.schema import Support

Kind = Literal["binary", "grey", "colour", "levels", "unit", "counts", "real", "table"]

KINDS: dict[Kind, str] = {
    "binary": "black and white, or any values of 0 and 1",
    "grey": "grey images on levels, such as 8 bits",
    "colour": "images of several channels on levels, such as 8 bits",
    "levels": "arrays on levels, such as 8 bits",
    "unit": "numbers from 0 to 1",
    "counts": "whole numbers from 0 upwards",
    "real": "numbers of any size",
    "table": "columns of different kinds, or with missing cells",
}


def kind_of(examples: Examples) -> Kind:
    """The kind of all examples together."""
    support = examples.support
    if examples.layout == "table":
        return "table"
    if support.is_binary:
        return "binary"
    if support.num_levels:
        return _kind_on_levels(examples)
    if support.low >= 0 and support.high <= 1:
        return "unit"
    return "counts" if _are_counts(support) else "real"


def described(num_examples: int, examples: Examples) -> str:
    """So many examples, of which these are some: their shape and kind in words."""
    kind = kind_of(examples)
    return f"{num_examples:,} examples {shape_in_words(examples.event_shape)}; {kind}: {KINDS[kind]}"


def shape_in_words(event_shape: Sequence[int]) -> str:
    """The shape of an example, images as people say it."""
    if len(event_shape) == 1:
        return f"of {event_shape[0]} value{'s' if event_shape[0] > 1 else ''}"
    if len(event_shape) != 3:
        return f"of shape {times(event_shape)}"
    channels, height, width = event_shape
    return f"{width} wide and {height} high with {channels} channel{'s' if channels > 1 else ''}"


def _kind_on_levels(examples: Examples) -> Kind:
    if examples.layout != "image":
        return "levels"
    return "grey" if examples.event_shape[0] == 1 else "colour"


def _are_counts(support: Support) -> bool:
    return support.is_integer and support.low >= 0
