"""Summaries of rows, read part by part, from which a schema is inferred: extremes, and the first that is not finite."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Shaped

from lowerbound.data.moments import Moments, moments_of
from lowerbound.data.raw_array import RawArray
from lowerbound.data.rows import Rows

Event = Shaped[np.ndarray, "*event"]


@dataclass(frozen=True, eq=False)
class ArraySummary:
    """Extremes of the known values. The summary of 8-bit image files is known without reading them."""

    least: Event  # of each element; NaN where none is known
    greatest: Event
    skips_broken: bool  # rows that are not finite do not count
    infinite: str = ""  # the first infinite value, with its position; empty if there is none
    missing: str = ""  # the first NaN

    @property
    def low(self) -> float:
        """The least value."""
        return float(np.fmin.reduce(self.least, axis=None))

    @property
    def high(self) -> float:
        """The greatest value."""
        return float(np.fmax.reduce(self.greatest, axis=None))

    def __or__(self, other: "ArraySummary") -> "ArraySummary":
        """Of these values and later ones."""
        return replace(
            self,
            least=np.asarray(np.fmin(self.least, other.least)),
            greatest=np.asarray(np.fmax(self.greatest, other.greatest)),
            infinite=self.infinite or other.infinite,
            missing=self.missing or other.missing,
        )


OnPart = Callable[[RawArray], None]
"""What else is done with each part, in order, so that the data are read once."""


def ignored(part: RawArray) -> None:
    """Nothing else."""


def summary_of(
    rows: Rows, layout: str = "", skip_broken: bool = False, workers: int = 1, on_part: OnPart = ignored
) -> ArraySummary:
    """The summary of all rows, or of those that are finite, if there are any."""
    raw = rows.about
    if raw.is_from_images and raw.values.dtype == np.uint8 and layout in ("", "image"):
        full = np.zeros(rows.shape[1:], np.uint8)
        return ArraySummary(full, full + np.uint8(255), skip_broken)
    found: ArraySummary | None = None
    for part in rows.parts(skip_broken, workers):
        on_part(part)
        kept = _without_broken(part) if skip_broken else part
        if len(kept.values):
            of_part = _summary(kept, skip_broken)
            found = of_part if found is None else found | of_part
    return found or summary_of(rows, layout, skip_broken=False, workers=workers)


def moments_of_rows(rows: Rows, seen: ArraySummary) -> Moments:
    """Moments of each element of the rows that were summarised."""
    found: Moments | None = None
    for part in rows.parts(seen.skips_broken):
        kept = _without_broken(part) if seen.skips_broken else part
        if len(kept.values):
            of_part = moments_of(kept.values)
            found = of_part if found is None else found | of_part
    assert found is not None
    return found


def _summary(part: RawArray, skips_broken: bool) -> ArraySummary:
    values = part.values
    if values.dtype.kind != "f":
        return ArraySummary(np.asarray(values.min(axis=0)), np.asarray(values.max(axis=0)), skips_broken)
    least, greatest = np.asarray(np.fmin.reduce(values, axis=0)), np.asarray(np.fmax.reduce(values, axis=0))
    infinite = missing = ""
    if not _is_finite(values):
        infinite, missing = _first(part, np.isinf(values)), _first(part, np.isnan(values))
    return ArraySummary(least, greatest, skips_broken, infinite, missing)


def _is_finite(values: Shaped[np.ndarray, "row *event"]) -> bool:
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def _first(part: RawArray, is_wrong: Bool[np.ndarray, "row *event"]) -> str:
    if not is_wrong.any():
        return ""
    index, *position = (int(axis[0]) for axis in np.nonzero(is_wrong))
    return part.element(index, position)


def _without_broken(part: RawArray) -> RawArray:
    """Rows without NaN and infinity, except missing cells of tables."""
    values = part.values
    if values.dtype.kind != "f" or not len(values) or _is_finite(values):
        return part
    is_wrong = np.isinf(values) if values.ndim == 2 else ~np.isfinite(values)
    kept = np.flatnonzero(~is_wrong.reshape(len(values), -1).any(axis=1))
    numbers = kept if part.numbers is None else part.numbers[kept]
    return replace(
        part, values=values[kept], ids=tuple(part.ids[index] for index in kept) if part.ids else (), numbers=numbers
    )
