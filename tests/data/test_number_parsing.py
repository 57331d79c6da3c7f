"""A text is a number, may be one, or is not one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowerbound.data import number_parsing


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0), ("12", 12.0), ("-12", -12.0), ("+12", 12.0), ("12.5", 12.5), (".5", 0.5), ("5.", 5.0),
        ("1.5e-3", 0.0015), ("1e-05", 1e-05), ("1e+20", 1e20), ("2.E3", 2000.0), ("−3.5", -3.5), ("0.05", 0.05),
    ],
)  # fmt: skip
def test_a_plain_number_is_read(text, value):
    assert number_parsing.parse_plain_number(text) == number_parsing.parse_number(text) == value


@pytest.mark.parametrize(("text", "value"), [("3e2", 300.0), ("0e1", 0.0), ("00501", 501.0), ("-007.5", -7.5)])
def test_a_text_that_may_be_a_code_is_a_number_only_where_the_column_is_numeric(text, value):
    assert number_parsing.parse_plain_number(text) is None and number_parsing.parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "3_1", "1_000", "1,000", "1 000", "inf", "-Infinity", "nan", "NaN", "0x1F", "1e", "e5", ".", "-",
        "1.2.3", "12 kg", "٣", "１２", "1e5.5", "--1", "true", ">90", "40,5", "\n1", "1\n",
    ],
)  # fmt: skip
def test_what_is_not_a_number_is_not_read_as_one(text):
    assert number_parsing.parse_number(text) is None


def test_with_a_decimal_comma_only_commas_are_decimal_signs():
    assert (
        number_parsing.parse_plain_number("20,5", ",") == 20.5
        and number_parsing.parse_plain_number("-1,5e-3", ",") == -0.0015
    )
    assert (
        number_parsing.parse_plain_number("20.5", ",") is None
        and number_parsing.parse_plain_number("1.000,5", ",") is None
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_or_numpy_writes_is_a_plain_number(value):
    assert number_parsing.parse_plain_number(repr(value)) == value
    assert number_parsing.parse_plain_number(f"{value:.17g}") == value
    assert number_parsing.parse_plain_number(str(np.float64(value))) == value


@given(st.text(max_size=6))
def test_whatever_is_a_number_is_one_for_python(text):
    value = number_parsing.parse_number(text)
    assert value is None or value == float(text.replace("−", "-")) or math.isinf(value)


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_the_decimals_of_a_number_are_those_that_its_rounding_needs(digits, exponent):
    value = digits / 10**exponent
    decimals = number_parsing.num_decimals(np.array([value, 3.0]))
    assert round(value, decimals) == value and decimals <= 6
    assert decimals == 0 or round(value, decimals - 1) != value


def test_whole_numbers_are_written_without_a_fraction():
    assert [number_parsing.as_text(value) for value in (5.0, -0.0, 2.5, 1e-05, 3)] == ["5", "0", "2.5", "1e-05", "3"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("40,5", "it has a decimal comma, expected a decimal point"),
        ("1,234,567.5", "write it without thousands separators"),
        ("1 000", "write it without thousands separators"),
        (
            "4,560",
            "the comma in '4,560' is ambiguous (thousands or decimal); write it without, or with a decimal point",
        ),
        ("0,560", "it has a decimal comma, expected a decimal point"),
        ("forty", ""),
        ("3_1", ""),
    ],
)
def test_a_hint_says_what_keeps_a_text_from_being_a_number(text, reason):
    assert number_parsing.number_hint(text) == reason
