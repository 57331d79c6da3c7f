"""What values data have: the ranges and kinds that data, model and results share."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

ColumnKind = Literal["numeric", "count", "binary", "categorical"]


@dataclass(frozen=True)
class Support:
    """Where the values of some data lie, as the model sees them."""

    low: float
    high: float
    num_levels: int = 0  # evenly spaced from 0 to 1, where the data are stored as such; 0 where they are not
    is_binary: bool = False  # all values are 0 or 1
    is_integer: bool = False  # all values are whole numbers
    has_missing: bool = False  # some are NaN, which low and high pass over

    def __or__(self, other: "Support") -> "Support":
        """That of both data together."""
        return Support(
            low=min(self.low, other.low),
            high=max(self.high, other.high),
            num_levels=self.num_levels if self.num_levels == other.num_levels else 0,
            is_binary=self.is_binary and other.is_binary,
            is_integer=self.is_integer and other.is_integer,
            has_missing=self.has_missing or other.has_missing,
        )


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column. Its cells are numbers: values, whole numbers, or positions in `levels`; NaN where one is missing."""

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()  # of a categorical or binary column, as they are written

    @property
    def num_levels(self) -> int:
        """How many different values a categorical column has."""
        return len(self.levels)

    def as_written(self, cells: Float[np.ndarray, " row"]) -> np.ndarray:
        """Cells as a table has them: levels as text, counts without a fraction."""
        if self.levels:
            return np.array(self.levels)[cells.astype(np.int64)]
        return np.rint(cells) if self.kind == "count" else cells
