"""RawArray: data in memory with labels, before a schema is applied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped


@dataclass(frozen=True, eq=False, kw_only=True)
class RawArray:
    """Numbers as they are stored in an array or in image files, before a schema is applied."""

    place: str  # its name in messages: a file, a folder, "the array"
    values: Shaped[
        np.ndarray, "..."
    ]  # with an axis of examples first; images read from files are height x width x channel
    labels: Sequence[str | None] | None = None  # of each example, as text; None where missing
    factors: Mapping[str, Sequence[Any]] | None = None  # columns of factors by name, with a cell for each example
    ids: tuple[str, ...] = ()  # as in Collection, like the next five
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    resized_to: tuple[int, int] | None = None
    num_validation: int = 0
    num_test: int = 0
    is_from_images: bool = False  # read from image files
    white: float = 0.0  # the white level of image files: 255 or 65535; 0 if there is no full scale
    numbers: Int64[np.ndarray, " example"] | None = None  # in the whole data, where these examples are a part of it

    @property
    def num_rows(self) -> int:
        """Number of examples; 0 for a single number, which is refused later."""
        return len(self.values) if self.values.ndim else 0

    def element(self, index: int, position: Sequence[int]) -> str:
        """One number of one example with its position, for messages."""
        name = self.ids[index] if self.ids else f"example {index if self.numbers is None else self.numbers[index]}"
        number = self.values[index]
        element = f", element {','.join(map(str, position))}" if number.ndim else ""
        return f"{self.place}: {name}{element} is {float(number[tuple(position)]):.10g}"
