"""Factors: known factors of variation of examples, such as position and shape, by which disentanglement is measured."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64, Integer


@dataclass(frozen=True, eq=False)
class Factors:
    """The level that each factor has in each example."""

    names: tuple[str, ...]
    levels: tuple[tuple[str | float, ...], ...]  # the values of each factor, of which a code is the position
    codes: Int64[np.ndarray, "example factor"]

    def __len__(self) -> int:
        return len(self.codes)

    def subset(self, indices: Integer[np.ndarray, " index"] | Bool[np.ndarray, " example"]) -> "Factors":
        """The factors of the examples at `indices`, in that order."""
        return replace(self, codes=self.codes[indices])
