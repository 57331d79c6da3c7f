"""Numbers as text: estimates with standard errors, significant digits, durations, shapes."""

import math
from collections.abc import Sequence

from lowerbound.foundation.numerics import Estimate

MINUS = "−"
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"


def format_estimate(value: float, standard_error: float | None, unit: str) -> str:
    """Value ± standard error: the error with two significant digits, the value with at least as many decimals."""
    decimals = {"nats": 2, "units": 0}.get(unit, 4)
    if standard_error is None or not math.isfinite(standard_error) or standard_error <= 0:
        return format_number(value, decimals)
    exponent = int(f"{standard_error:.1e}".partition("e")[2])
    of_error = max(0, 1 - exponent)
    error = format_number(round(standard_error, 1 - exponent), of_error)
    return f"{format_number(value, max(decimals, of_error))} ± {error}"


def format_measured(estimate: Estimate) -> str:
    """Value ± standard error of a quantity of any size: the error has two significant digits, the value as many places.

    Numbers beyond a million and below a thousandth have an exponent.
    """
    value, error = estimate.value, estimate.standard_error
    if not math.isfinite(value) or not math.isfinite(error) or error <= 0:
        return f"{value:.3g}".replace("-", MINUS)
    largest = math.floor(math.log10(max(abs(value), error)))
    exponent = largest if not -3 <= largest < 6 else 0
    of_error = int(f"{error:.1e}".partition("e")[2])  # after rounding to two digits
    places = max(0, 1 - of_error + exponent)
    scaled = (f"{number / 10**exponent:,.{places}f}" for number in (value, error))
    text = " ± ".join(scaled).replace("-", MINUS)
    return f"({text})e{exponent}".replace("-", MINUS) if exponent else text


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
