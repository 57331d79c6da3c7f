"""Moments: mean and deviation of each element, in float64, of values that come in parts; missing cells are skipped."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped

MOST_ROWS = 2**16
"""Bytes whose squares add up to less than 2³²."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Number, mean and sum of squared deviations of the known values of each element.

    Merged by the formula of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979, Equation 2.1, which does not cancel digits as a sum of squares would.
    """

    number: Int64[np.ndarray, " *event"]
    mean: Float64[np.ndarray, " *event"]
    squares: Float64[np.ndarray, " *event"]

    @property
    def deviation(self) -> Float64[np.ndarray, " *event"]:
        """Standard deviation; NaN where no value is known."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(self.squares / self.number))

    def __or__(self, other: "Moments") -> "Moments":
        """The moments of both sets of values."""
        number = self.number + other.number
        of_other = other.number / np.maximum(number, 1)
        mine, theirs = (np.where(part.number > 0, part.mean, 0.0) for part in (self, other))
        difference = theirs - mine
        mean = np.where(number > 0, mine + difference * of_other, np.nan)
        squares = self.squares + other.squares + difference**2 * (self.number * of_other)
        return _moments(number, mean, squares)


def moments_of(values: Shaped[np.ndarray, "row *event"]) -> Moments:
    """The moments of some rows."""
    if values.dtype == np.uint8 and 0 < len(values) <= MOST_ROWS:
        return _of_bytes(values)
    numbers = values.astype(np.float64)
    is_known = ~np.isnan(numbers) if values.dtype.kind == "f" else None
    if is_known is None or is_known.all():
        mean = numbers.mean(axis=0)
        return _moments(np.full(values.shape[1:], len(values)), mean, np.square(numbers - mean).sum(axis=0))
    number = is_known.sum(axis=0)
    numbers[~is_known] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = numbers.sum(axis=0) / number
    return _moments(number, mean, np.square(np.where(is_known, numbers - mean, 0)).sum(axis=0))


def _of_bytes(values: Shaped[np.ndarray, "row *event"]) -> Moments:
    """The same from exact sums of integers, several times faster."""
    total = values.sum(axis=0, dtype=np.uint32).astype(np.float64)
    squares = np.multiply(values, values, dtype=np.uint16).sum(axis=0, dtype=np.uint32).astype(np.float64)
    number = len(values)
    return _moments(np.full(values.shape[1:], number), total / number, (number * squares - total**2) / number)


def _moments(number: object, mean: object, squares: object) -> Moments:
    # numpy returns scalars for elements without axes.
    return Moments(np.asarray(number, np.int64), np.asarray(mean, np.float64), np.asarray(squares, np.float64))
