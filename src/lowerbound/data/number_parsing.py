"""Parsing numbers from text: plain and ambiguous forms, decimal signs, thousands separators.

    plain       12   -0.5   .5   +3.   1.5e-3   1e-05   1e+20   with an ASCII or a typographic minus
    ambiguous   3e2 (a number or a code)   007 (a padded number or a code)
    not         1_000   1,000   inf   nan   0x1F   ٣   12 kg

Plain numbers make a column numeric; within a numeric column, ambiguous texts are numbers as well. The decimal sign is a
point or a comma, never both; thousands separators are not accepted.
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

SIGN_NAMES = {",": "comma", ".": "point"}
WITHOUT_THOUSANDS = "write it without thousands separators"
MOST_DECIMALS = 17  # of a float64 in text


def parse_plain_number(text: str, decimal: Decimal = ".") -> float | None:
    """The value of a text that is unambiguously a number, or None."""
    return _value(text, decimal, _PLAIN)


def parse_number(text: str, decimal: Decimal = ".") -> float | None:
    """The value of a text in a numeric column, or None; infinite if too large for a float64."""
    return _value(text, decimal, _NUMBER)


def is_padded(text: str) -> bool:
    """Whether it has a leading zero, like postal codes."""
    return _PADDED.match(text) is not None


def is_infinite(text: str) -> bool:
    """Whether it spells infinity."""
    return _INFINITE.fullmatch(text) is not None


def as_text(value: int | float) -> str:
    """A number as text: integers without a fraction, others with the digits that they need."""
    return str(int(value)) if value == int(value) else repr(float(value))


def num_decimals(values: Float[np.ndarray, " n"]) -> int:
    """The number of decimals needed to write all of these numbers exactly."""
    # A short decimal is the correctly rounded quotient of an integer and a power of ten.
    each = (places for places in range(MOST_DECIMALS) if (np.round(values, places) == values).all())
    return next(each, MOST_DECIMALS)


def may_have_thousands(text: str, sign: Decimal) -> bool:
    """Whether `sign` might separate thousands in a number, as in 1,100 but not in 0,110."""
    return _THREE_DIGITS[sign].fullmatch(text) is not None


def sign_hint(texts: Iterable[str], decimal: Decimal) -> str:
    """The setting by which texts with the other decimal sign are numbers; empty if none of them has it."""
    other: Decimal = "," if decimal == "." else "."
    has_other = any(other in text and parse_number(text, other) is not None for text in texts)
    return f'for a decimal {SIGN_NAMES[other]} set data.decimal="{other}"' if has_other else ""


def number_hint(text: str, decimal: Decimal = ".") -> str:
    """Why a text is probably not a number, and what to do; empty if unknown."""
    other: Decimal = "," if decimal == "." else "."
    if may_have_thousands(text, other):
        return (
            f"the {SIGN_NAMES[other]} in {text!r} is ambiguous (thousands or decimal); write it without, or with a "
            f"decimal {SIGN_NAMES[decimal]}"
        )
    if other in text and parse_number(text, other) is not None:
        return f"it has a decimal {SIGN_NAMES[other]}, expected a decimal {SIGN_NAMES[decimal]}"
    return WITHOUT_THOUSANDS if _WITH_THOUSANDS.fullmatch(text) else ""


def common_hint(texts: Iterable[str], decimal: Decimal, least_share: float) -> str:
    """Why most of these texts are not numbers; empty if most do not look like numbers."""
    other: Decimal = "," if decimal == "." else "."
    texts = list(texts)
    hints = {text: number_hint(text, decimal) for text in texts}
    num_numbers = sum(bool(hints[text]) or parse_number(text, decimal) is not None for text in texts)
    if not any(hints.values()) or num_numbers < least_share * len(texts):
        return ""
    undecided = {text for text in texts if may_have_thousands(text, other)}
    # One unambiguous text settles the others.
    clear = [found for text, found in hints.items() if found and text not in undecided]
    return max(clear, key=clear.count) if clear else hints[min(undecided)]


def _value(text: str, decimal: Decimal, pattern: re.Pattern[str]) -> float | None:
    if decimal == ",":
        text = text.replace(",", ".") if "." not in text else ""
    if not pattern.fullmatch(text):
        return None
    return float(text if text.isascii() else text.replace("−", "-"))
