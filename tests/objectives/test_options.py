"""Options of rows are checked by type, range and name before anything is trained."""

from typing import Annotated

import pytest

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.ranges import Range
from lowerbound.objectives.bounds import BOUNDS
from lowerbound.objectives.options import check_options, option, options_of
from lowerbound.objectives.penalties import PENALTIES
from lowerbound.objectives.rates import RATES


def row(
    samples,
    *,
    number: Annotated[int, Range(1, 9)] = 3,
    share: Annotated[float, Range(0)],
    free: Annotated[float, Range()] = 0.0,
):
    """A row with a required option."""


def test_options_are_the_keyword_only_arguments():
    assert list(options_of(row)) == ["number", "share", "free"]
    assert option(row, {}, "number") == 3
    assert option(row, {"number": 4}, "number") == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"'row' needs objective\.x\.share, which has no default; set it to a number"),
        ({"share": 1.0, "number": 2.5}, r"objective\.x\.number needs a whole number, got 2\.5"),
        ({"share": 1.0, "number": True}, "number needs a whole number, got True"),
        ({"share": 1.0, "number": 10}, "number needs a number from 1 to 9, got 10"),
        ({"share": -1.0}, "share needs a finite number of at least 0, got -1"),
        ({"share": float("inf")}, "share needs a finite number of at least 0, got inf"),
        ({"share": 1.0, "free": float("nan")}, "free needs a finite number, got nan"),
        ({"share": "1"}, "share needs a number, got '1'"),
    ],
)
def test_values_that_a_row_does_not_accept_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        check_options("objective.x", row, "row", options)


def test_unknown_options_are_refused_with_the_nearest_or_because_there_are_none():
    with pytest.raises(UnknownName, match=r"objective\.x of 'row' 'shar'") as caught:
        check_options("objective.x", row, "row", {"shar": 1.0})
    assert caught.value.nearest == "share"
    with pytest.raises(ConfigError, match="'plain' has no options"):
        check_options("objective.x", lambda samples: samples, "plain", {"number": 1})


@pytest.mark.parametrize("table", [BOUNDS, RATES, PENALTIES], ids=["bounds", "rates", "penalties"])
def test_every_options_default_is_one_that_it_accepts(table):
    for name, entry in table.items():
        defaults = {key: parameter.default for key, parameter in options_of(entry).items()}
        required = {key: 1.0 for key, value in defaults.items() if value is options_of(row)["share"].default}
        check_options("objective.x", entry, name, defaults | required)
