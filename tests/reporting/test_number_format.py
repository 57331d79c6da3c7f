"""Numbers as text: digits, signs and units of time."""

import pytest

from lowerbound.foundation.numerics import Estimate
from lowerbound.reporting.number_format import (
    format_duration,
    format_estimate,
    format_measured,
    format_number,
    format_significant,
    format_sizes,
)


@pytest.mark.parametrize(
    ("value", "standard_error", "unit", "text"),
    [
        (-152.3149, 0.4512, "nats", "−152.31 ± 0.45"),
        (152.3149, 12.3, "nats", "152 ± 12"),
        (152.3149, 123.0, "nats", "150 ± 120"),
        (5.6434, 0.0154, "nats", "5.643 ± 0.015"),
        (2391.2, None, "nats", "2,391.20"),
        (45.53, float("nan"), "nats", "45.53"),
        (45.53, 0.0, "nats", "45.53"),
        (45.53, 0.0996, "nats", "45.53 ± 0.10"),
        (-0.0001, 0.41, "nats", "0.00 ± 0.41"),
        (0.55693, 0.0034, "bits/dim", "0.5569 ± 0.0034"),
        (0.040851, 0.000971, "per pixel", "0.04085 ± 0.00097"),
        (float("nan"), None, "nats", "nan"),
        (float("-inf"), None, "nats", "−inf"),
    ],
)
def test_errors_have_two_significant_digits_and_values_end_at_the_same_one(value, standard_error, unit, text):
    assert format_estimate(value, standard_error, unit) == text


@pytest.mark.parametrize(("seconds", "text"), [(1.26, "1.3 s"), (81.2, "1 min 21 s"), (7325.0, "2 h 2 min")])
def test_a_duration_is_told_as_one_would_say_it(seconds, text):
    assert format_duration(seconds) == text


def test_zero_has_no_sign_and_other_negative_numbers_have_a_typographic_minus():
    assert (format_number(-0.001, 2), format_number(-0.01, 2)) == ("0.00", "−0.01")


def test_three_significant_digits_or_the_whole_integer_part():
    assert [format_significant(value) for value in (0.012345, -123.4, 12345.6)] == ["0.0123", "−123", "12,346"]


def test_sizes_are_a_product():
    assert format_sizes((64, 7, 7)) == "64\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}7\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}7"


@pytest.mark.parametrize(
    ("value", "standard_error", "text"),
    [
        (1.8651, 0.0342, "1.865 ± 0.034"),
        (2617.3, 46.2, "2,617 ± 46"),
        (-2.4e-4, 3.2e-4, "(−2.4 ± 3.2)e−4"),
        (0.00123, 0.5, "0.00 ± 0.50"),
        (3.2e7, 1.5e5, "(3.200 ± 0.015)e7"),
        (1.0, 0.0, "1"),
        (float("nan"), float("nan"), "nan"),
        (0.0, 0.0098, "0.0000 ± 0.0098"),
        (0.097, 0.00996, "0.097 ± 0.010"),
        (97.0, 9.96, "97 ± 10"),
    ],
)
def test_measurements_of_any_size_have_two_digits_of_their_error(value, standard_error, text):
    assert format_measured(Estimate(value, standard_error)) == text
