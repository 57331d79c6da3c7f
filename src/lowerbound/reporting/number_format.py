"""Numbers as text: estimates with standard errors, significant digits, durations, shapes."""

import math
from collections.abc import Sequence

from lowerbound.evaluation.results import Score
from lowerbound.foundation.numerics import Estimate

MINUS = "−"
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"


def format_estimate(value: float, standard_error: float | None, unit: str = "") -> str:
    """Value ± standard error, both to the second significant digit of the error; without an error, by the unit."""
    if standard_error is None or not math.isfinite(standard_error) or standard_error <= 0:
        return format_number(value, {"nats": 2, "units": 0}.get(unit, 4))
    return " ± ".join(_to_place(number, _last_place(standard_error)) for number in (value, standard_error))


def format_score(score: Score) -> str:
    """A score ± its standard error, without the unit."""
    return format_estimate(score.value, score.standard_error, score.unit)


def format_difference(estimate: Estimate, unit: str = "") -> str:
    """As `format_estimate`, with a plus sign for a positive value."""
    sign = "+" if estimate.value > 0 else ""
    return sign + format_estimate(estimate.value, estimate.standard_error, unit)


def format_measured(estimate: Estimate) -> str:
    """As `format_estimate`, for a quantity of any size: numbers from a million, and below a thousandth, have an
    exponent.
    """
    value, error = estimate.value, estimate.standard_error
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return f"{value:.3g}".replace("-", MINUS)
    largest = math.floor(math.log10(max(abs(value), error)))
    if -3 <= largest < 6:
        return format_estimate(value, error)
    text = format_estimate(value / 10**largest, error / 10**largest)
    return f"({text})e{largest}".replace("-", MINUS)


def _last_place(error: float) -> int:
    """The decimal place of the second significant digit, after rounding: 2 for 0.34, 0 for 34, -1 for 340."""
    return 1 - int(f"{error:.1e}".partition("e")[2])


def _to_place(number: float, place: int) -> str:
    rounded = round(number, place) if math.isfinite(number) else number
    return format_number(rounded, max(0, place))


def format_number(value: float, decimals: int) -> str:
    """A number with a typographic minus sign; zero has none."""
    text = f"{value:,.{decimals}f}"
    is_zero = not any(digit in text for digit in "123456789") and math.isfinite(value)
    return text.lstrip("-") if is_zero else text.replace("-", MINUS)


def format_significant(value: float) -> str:
    """A number with three significant digits, or all digits of its integer part."""
    digits = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return digits.replace("-", MINUS)


def format_duration(seconds: float) -> str:
    """Seconds as 1.3 s, 1 min 21 s or 2 h 2 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def format_sizes(sizes: Sequence[int]) -> str:
    """Sizes as a product: 64 × 7 × 7."""
    return TIMES.join(f"{size}" for size in sizes)
