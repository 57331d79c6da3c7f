"""Splits that data bring with them: the names they go by, and how they are described."""

from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""In the order in which their examples are kept."""

NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Names of folders and of splits on the Hugging Face hub, in any case."""


def split_from_name(name: str) -> Split | None:
    """The split that a name stands for, or None."""
    return next((split for split, names in NAMES.items() if name.lower() in names), None)


def split_note(sizes: Mapping[Split, int]) -> str:
    """The note that says which splits the data bring."""
    return "splits as given: " + ", ".join(f"{name} {sizes[name]:,}" for name in SPLITS if sizes.get(name))
