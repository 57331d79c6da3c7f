"""Names of predefined splits: synonyms of train, validation and test in folders and on the Hugging Face hub."""

from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""In the order in which their examples are stored."""

NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Accepted names of each split, case-insensitive."""


def split_from_name(name: str) -> Split | None:
    """The split that a name stands for, or None."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def split_note(sizes: Mapping[Split, int]) -> str:
    """The note on the predefined splits, with their sizes."""
    return "predefined splits: " + ", ".join(f"{name} {sizes[name]:,}" for name in SPLITS if sizes.get(name))
