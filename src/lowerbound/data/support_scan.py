"""SupportScan: the support of values that come in parts, the same as of all of them at once."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped

from lowerbound.foundation.schema import UNSCALED, Layout, Range, Support

PART = 2**20
"""Values examined at a time."""


@dataclass
class SupportScan:
    """What is known of the values so far. A property that one value lacks is not looked for in later ones."""

    range: Range  # the stored values that the model sees as 0 and 1
    layout: Layout
    low: float = np.inf  # of known values, as stored
    high: float = -np.inf
    has_missing: bool = False
    is_binary: bool = True
    is_whole: bool = True
    has_8_bits: bool = True  # 256 levels in any unit
    is_stored_in_bytes: bool = True

    def add(self, values: Shaped[np.ndarray, "row *event"]) -> "SupportScan":
        """Look at more values."""
        self.is_stored_in_bytes &= values.dtype == np.uint8
        for part in np.array_split(values.reshape(-1), 1 + values.size // PART):
            self._add(part)
        return self

    def _add(self, values: Shaped[np.ndarray, " value"]) -> None:
        if self.layout == "table":
            known = values[~np.isnan(values)]
            self.has_missing |= known.size < values.size
            values = known
        if not values.size:
            return
        bottom, top = self.range
        # numpy's minimum, not Python's: NaN stays NaN.
        self.low = float(np.minimum(self.low, values.min()))
        self.high = float(np.maximum(self.high, values.max()))
        if self.layout == "table":
            return
        self.is_binary = self.is_binary and bool(((values == bottom) | (values == top)).all())
        if values.dtype != np.uint8:
            self.is_whole = self.is_whole and bool((values == np.rint(values)).all())
        if self.has_8_bits and not self._has_bytes_as_levels:
            levels = to_model_scale(values, self.range) * np.float32(255)
            self.has_8_bits = bool(np.abs(levels - np.rint(levels)).max() <= 1e-3)

    def __or__(self, other: "SupportScan") -> "SupportScan":
        """Of the values of both."""
        return SupportScan(
            self.range,
            self.layout,
            low=float(np.minimum(self.low, other.low)),
            high=float(np.maximum(self.high, other.high)),
            has_missing=self.has_missing or other.has_missing,
            is_binary=self.is_binary and other.is_binary,
            is_whole=self.is_whole and other.is_whole,
            has_8_bits=self.has_8_bits and other.has_8_bits,
            is_stored_in_bytes=self.is_stored_in_bytes and other.is_stored_in_bytes,
        )

    @property
    def support(self) -> Support:
        """The support on the model's scale."""
        if self.layout == "table":
            low, high = (self.low, self.high) if self.low <= self.high else (0.0, 0.0)
            return Support(low, high, has_missing=self.has_missing)
        bottom, top = self.range
        low, high = ((value - bottom) / (top - bottom) for value in (self.low, self.high))
        is_in_levels = self._has_bytes_as_levels and high <= 1
        return Support(
            low,
            high,
            num_levels=int(top) + 1 if is_in_levels else self._num_levels(),
            is_binary=self.is_binary,
            is_integer=self.range == UNSCALED and (is_in_levels or self.is_whole),
        )

    @property
    def _has_bytes_as_levels(self) -> bool:
        return self.is_stored_in_bytes and self.range[0] == 0

    def _num_levels(self) -> int:
        """Top + 1 for integers from 0 to at most 255; 256 for 8-bit values in another unit, such as divided by 255;
        else 0.
        """
        bottom, top = self.range
        if not bottom <= self.low <= self.high <= top:
            return 0
        if bottom == 0 and 1 < top <= 255 and top == int(top) and self.is_whole:
            return int(top) + 1
        return 256 if self.has_8_bits else 0


def to_model_scale(values: Shaped[np.ndarray, "*shape"], scale: Range) -> Float32[np.ndarray, "*shape"]:
    """Stored values on the model's scale, in float32."""
    low, high = scale
    seen = values.astype(np.float32)
    return (seen - np.float32(low)) / np.float32(high - low) if low else seen / np.float32(high)
