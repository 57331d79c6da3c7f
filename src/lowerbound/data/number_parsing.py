"""Which texts are numbers.

    plain       12   -0.5   .5   +3.   1.5e-3   1e-05   1e+20   with an ASCII or a typographic minus
    ambiguous   3e2 (a number or a code)   007 (a padded number or a code)
    not         1_000   1,000   inf   nan   0x1F   ٣   12 kg

A column is numeric because of its plain numbers; within a numeric column the ambiguous ones are numbers, too. The
decimal sign is a point or a comma, never both, and nothing separates thousands.
"""

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
from jaxtyping import Float

Decimal = Literal[".", ","]

_SIGN = r"[+\-−]?"
_WITH_POINT = r"(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][+\-−]?[0-9]+)?"
_WHOLE = r"(?:0|[1-9][0-9]*)(?:[eE][+\-−][0-9]+)?"
_PLAIN = re.compile(rf"{_SIGN}(?:{_WITH_POINT}|{_WHOLE})")
_NUMBER = re.compile(rf"{_SIGN}(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+\-−]?[0-9]+)?")
_PADDED = re.compile(rf"{_SIGN}0[0-9]")
_INFINITE = re.compile(rf"{_SIGN}inf(?:inity)?", re.IGNORECASE)
_WITH_THOUSANDS = re.compile(rf"{_SIGN}[0-9]{{1,3}}(?:([,.' \u00a0\u202f])[0-9]{{3}})(?:\1[0-9]{{3}})*(?:[.,][0-9]+)?")
_THREE_DIGITS = {sign: re.compile(rf"{_SIGN}[1-9][0-9]{{0,2}}{re.escape(sign)}[0-9]{{3}}") for sign in ",."}

WITHOUT_THOUSANDS = "write it without thousands separators"
MOST_DECIMALS = 17  # that a float64 is written with


def parse_plain_number(text: str, decimal: Decimal = ".") -> float | None:
    """The number that a text is beyond doubt, or None."""
    return _value(text, decimal, _PLAIN)


def parse_number(text: str, decimal: Decimal = ".") -> float | None:
    """The number that a text is in a numeric column, or None; infinite where it is too large for a float64."""
    return _value(text, decimal, _NUMBER)


def is_padded(text: str) -> bool:
    """Whether it begins with a zero that numbers do not have, as postal codes do."""
    return _PADDED.match(text) is not None


def is_infinite(text: str) -> bool:
    """Whether it is the word for infinity."""
    return _INFINITE.fullmatch(text) is not None


def as_text(value: int | float) -> str:
    """A number as levels and cells have it: whole ones without a fraction, others with the digits that they need."""
    return str(int(value)) if value == int(value) else repr(float(value))


def num_decimals(values: Float[np.ndarray, " n"]) -> int:
    """How many digits after the decimal point the numbers need, all of them together."""
    # A decimal of few digits is the quotient of a whole number and a power of ten, correctly rounded.
    each = (places for places in range(MOST_DECIMALS) if (np.round(values, places) == values).all())
    return next(each, MOST_DECIMALS)


def may_have_thousands(text: str, sign: Decimal) -> bool:
    """Whether `sign` may separate thousands in a text that is a number where it is decimal: 1,100 but not 0,110."""
    return _THREE_DIGITS[sign].fullmatch(text) is not None


def number_hint(text: str, decimal: Decimal = ".") -> str:
    """What seems to keep a text from being a number, and what to do; empty where nothing is known."""
    other: Decimal = "," if decimal == "." else "."
    name = {",": "comma", ".": "point"}
    if may_have_thousands(text, other):
        return (
            f"the {name[other]} in {text!r} separates thousands or is a decimal sign; write it without, or with a "
            f"decimal {name[decimal]}"
        )
    if other in text and parse_number(text, other) is not None:
        return f"it has a decimal {name[other]}, accepted is a decimal {name[decimal]}"
    return WITHOUT_THOUSANDS if _WITH_THOUSANDS.fullmatch(text) else ""


def common_hint(texts: Iterable[str], decimal: Decimal, least_share: float) -> str:
    """What keeps most of some texts from being numbers; empty where most do not look like numbers."""
    other: Decimal = "," if decimal == "." else "."
    texts = list(texts)
    hints = {text: number_hint(text, decimal) for text in texts}
    num_numbers = sum(bool(hints[text]) or parse_number(text, decimal) is not None for text in texts)
    if not any(hints.values()) or num_numbers < least_share * len(texts):
        return ""
    undecided = {text for text in texts if may_have_thousands(text, other)}
    # One text that is clear tells what the others are.
    clear = [found for text, found in hints.items() if found and text not in undecided]
    return max(clear, key=clear.count) if clear else hints[min(undecided)]


def _value(text: str, decimal: Decimal, pattern: re.Pattern[str]) -> float | None:
    if decimal == ",":
        text = text.replace(",", ".") if "." not in text else ""
    if not pattern.fullmatch(text):
        return None
    return float(text if text.isascii() else text.replace("−", "-"))
