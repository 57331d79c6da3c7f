"""Ranges of numbers: what they contain, and how they are described."""

import math

import numpy as np
import pytest

from lowerbound.foundation.errors import ConfigError
from lowerbound.foundation.ranges import Range, check_number


@pytest.mark.parametrize(
    ("accepted", "inside", "outside", "words"),
    [
        (Range(), (-1e300, 0.0), (math.inf, math.nan), ""),
        (Range(1), (1, 1e9), (0, -math.inf, math.inf), "at least 1"),
        (Range(0, excluded=(0,)), (1e-30,), (0, -1), "above 0"),
        (Range(2, 100), (2, 100), (1.99, 100.5), "from 2 to 100"),
        (Range(0, 1, excluded=(1,)), (0, 0.999), (1, -0.1), "in [0, 1)"),
        (Range(0, 1, excluded=(0, 1)), (0.5,), (0, 1), "in (0, 1)"),
    ],
)
def test_a_range_contains_its_ends_unless_they_are_excluded(accepted, inside, outside, words):
    assert all(number in accepted for number in inside)
    assert not any(number in accepted for number in outside)
    assert str(accepted) == words


@pytest.mark.parametrize(
    ("value", "accepted", "whole", "message"),
    [
        (0, Range(1), True, "x.y needs at least 1, got 0."),
        (-1.5, Range(0), False, "x.y needs a finite number of at least 0, got -1.5."),
        (0.0, Range(0, excluded=(0,)), False, "x.y needs a finite number above 0, got 0."),
        (3, Range(0, 1), False, "x.y needs a number from 0 to 1, got 3."),
        (math.nan, Range(), False, "x.y needs a finite number, got nan."),
        (1.5, Range(1), True, "x.y needs a whole number, got 1.5."),
        (True, Range(0), False, "x.y needs a number, got True."),
        ("1", Range(0), False, "x.y needs a number, got '1'."),
    ],
)
def test_a_number_outside_of_a_range_is_refused_with_what_is_accepted(value, accepted, whole, message):
    with pytest.raises(ConfigError) as caught:
        check_number("x.y", value, accepted, whole=whole)
    assert str(caught.value) == message


def test_numbers_of_numpy_are_accepted():
    check_number("x.y", np.int64(3), Range(1), whole=True)
    check_number("x.y", np.float32(0.5), Range(0, 1))
