"""Hints on text columns that look like dates, or like numbers with units or in another notation."""

import re
from collections.abc import Collection

from lowerbound.data import number_parsing

LEAST_SHARE = 0.95  # of distinct texts that match a pattern
MOST_UNITS = 3  # in one column

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_TIME = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\.?)?(?: ?(?:z|utc|[+-]\d{2}:?\d{2}))?"
_DATE = (
    rf"(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])(?:\1\d{{1,2}})?|\d{{1,2}}([-/.])\d{{1,2}}\2(?:\d{{4}}|\d{{2}})"
    rf"|\d{{1,2}}[ -]{_MONTH}[ ,-]+\d{{2,4}}|{_MONTH} \d{{1,2}},? \d{{4}}|{_MONTH}[ -]\d{{4}})"
)
_DATE_OR_TIME = re.compile(rf"(?:{_DATE}(?:(?:t|,? ){_TIME})?|{_TIME})", re.IGNORECASE)
_DIGITS = r"[0-9][0-9.,' \u00a0\u202f]*"
_WITH_UNIT = re.compile(rf"[+\-−]?(?:([$€£¥₹])[ ]?[+\-−]?{_DIGITS}|{_DIGITS}[ ]?([^\d\s.,'()+\-−][^\d]*))")
_IN_BRACKETS = re.compile(rf"\([$€£¥₹]?{_DIGITS}\)")


def text_hint(texts: Collection[str], decimal: number_parsing.Decimal, is_csv: bool) -> str:
    """What nearly all of these texts look like, and what to do; empty if they are words."""
    if not is_csv and _are_nearly_all(texts, lambda text: number_parsing.parse_plain_number(text) is not None):
        is_padded = any(map(number_parsing.is_padded, texts))
        return "" if is_padded else "its cells are numbers stored as text: store them as numbers, or set its kind"
    if hint := number_parsing.common_hint(texts, decimal, LEAST_SHARE):
        remedy = number_parsing.sign_hint(texts, decimal)
        return "; ".join(filter(None, [f"its cells look like numbers: {hint}", remedy]))
    if _are_nearly_all(texts, lambda text: _DATE_OR_TIME.fullmatch(text) is not None):
        return "its cells look like dates or times: write them as numbers, such as days since the first date"
    return _unit_hint(texts, decimal)


def _unit_hint(texts: Collection[str], decimal: number_parsing.Decimal) -> str:
    matches = [_WITH_UNIT.fullmatch(text) for text in texts]
    units = {(match[1] or match[2]).strip() for match in matches if match}
    num_bracketed = sum(_IN_BRACKETS.fullmatch(text) is not None for text in texts)
    num_plain = sum(number_parsing.parse_number(text, decimal) is not None for text in texts)
    num_with_unit = len(matches) - matches.count(None)
    if num_with_unit + num_bracketed == 0 or num_with_unit + num_bracketed + num_plain < LEAST_SHARE * len(texts):
        return ""
    if len(units) > MOST_UNITS or num_with_unit < 2 * len(units):
        return ""
    if num_bracketed:
        return "its cells look like numbers in brackets: write -49 for (49), without a currency"
    named = ", ".join(map(repr, sorted(units)))
    return f"its cells look like numbers with a unit or a currency ({named}): write only the number"


def _are_nearly_all(texts: Collection[str], is_match) -> bool:  # type: ignore[no-untyped-def]
    return bool(texts) and sum(map(is_match, texts)) >= LEAST_SHARE * len(texts)
