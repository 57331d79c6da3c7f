"""Range: the numbers that a setting or an option accepts, checked and described in one place."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from lowerbound.foundation.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`; the ends in `excluded` are not accepted.

    In the annotation of an option: `Annotated[int, Range(1, 100)]`.
    """

    least: float = -math.inf
    most: float = math.inf
    excluded: tuple[float, ...] = ()

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.least <= value <= self.most and value not in self.excluded

    def __str__(self) -> str:
        """In words, such as "at least 1", "above 0", "from 2 to 100", "in [0, 1)"; empty for all finite numbers."""
        if self.most < math.inf and self.excluded:
            left, right = ("(" if self.least in self.excluded else "["), (")" if self.most in self.excluded else "]")
            return f"in {left}{self.least:g}, {self.most:g}{right}"
        if self.most < math.inf:
            return f"from {self.least:g} to {self.most:g}"
        if self.least == -math.inf:
            return ""
        return f"{'above' if self.least in self.excluded else 'at least'} {self.least:g}"


def check_number(key: str, value: Any, accepted: Range, *, whole: bool = False) -> None:
    """ConfigError for anything but a number in a range; with `whole` it must be an integer."""
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        raise ConfigError(f"{key} needs a {'whole ' if whole else ''}number, got {value!r}.")
    if float(value) not in accepted:
        raise ConfigError(f"{key} needs {_described(accepted, whole)}, got {value:g}.")


def _described(accepted: Range, whole: bool) -> str:
    if accepted.most < math.inf:
        return f"a number {accepted}"
    if accepted.least == -math.inf:
        return "a finite number"
    if whole:  # which is always finite
        return str(accepted)
    return f"a finite number {'' if accepted.least in accepted.excluded else 'of '}{accepted}"
