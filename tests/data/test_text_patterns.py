"""Texts that are not numbers are named by what they look like."""

import pytest

from lowerbound.data.text_patterns import text_hint

DAYS = range(1, 29)


@pytest.mark.parametrize(
    "texts",
    [
        [f"2024-01-{day:02d}" for day in DAYS],
        [f"{day}/12/2024" for day in DAYS],
        [f"{day:02d}.03.24 08:15" for day in DAYS],
        [f"2024-01-{day:02d}T10:00:00Z" for day in DAYS],
        [f"{day} March 2024" for day in DAYS],
        [f"{day:02d}:30" for day in DAYS],
        [f"2024-{month:02d}" for month in range(1, 13)],
    ],
)
def test_dates_and_times_are_recognised(texts):
    assert text_hint(texts, ".", is_csv=True).startswith("its cells look like dates or times: write them as numbers")


@pytest.mark.parametrize(
    ("texts", "what"),
    [
        ([f"{day} kg" for day in DAYS], "a unit or a currency ('kg')"),
        ([f"{day}%" for day in DAYS], "a unit or a currency ('%')"),
        ([f"${day},{day + 100}.50" for day in DAYS], "a unit or a currency ('$')"),
        ([f"({day})" if day % 2 else str(day) for day in DAYS], "numbers in brackets: write -49 for (49)"),
        ([f"{day},{day + 100}" for day in DAYS], "is ambiguous (thousands or decimal)"),
        ([f"{day},5" for day in DAYS], "it has a decimal comma, expected a decimal point"),
        ([f"{day},5" for day in DAYS], 'for a decimal comma set data.decimal=","'),
    ],
)
def test_numbers_written_another_way_are_recognised(texts, what):
    assert what in text_hint(texts, ".", is_csv=True)


def test_numbers_stored_as_texts_are_recognised_where_types_are_known():
    assert "numbers stored as text: store them as numbers" in text_hint([str(day) for day in DAYS], ".", is_csv=False)
    assert not text_hint([f"{day:05d}" for day in DAYS], ".", is_csv=False)


@pytest.mark.parametrize("texts", [["1st", "2nd", "3rd", "4th"], ["red", "blue"], ["A-12", "B-13"], []])
def test_words_and_codes_look_like_nothing_else(texts):
    assert text_hint(texts, ".", is_csv=True) == ""
