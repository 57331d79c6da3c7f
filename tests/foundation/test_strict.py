"""What a file holds becomes the dataclass that it was written from, or is refused in one line."""

import math
from dataclasses import dataclass, field

import pytest

from lowerbound.foundation.errors import ConfigError, RunError
from lowerbound.foundation.strict import MOST_SHOWN, parsed


@dataclass(frozen=True, kw_only=True)
class Part:
    size: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Whole:
    rate: float
    parts: tuple[Part, ...] = ()
    options: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ConfigError(f"rate needs at least 0, got {self.rate}.")


def test_what_fits_becomes_the_dataclass_with_its_defaults():
    found = parsed(Whole, {"rate": 0.5, "parts": [{"size": 3}], "options": {"a": 1.0}}, "x.json")
    assert found == Whole(rate=0.5, parts=(Part(size=3),), options={"a": 1.0})


def test_an_integer_is_a_number():
    assert parsed(Whole, {"rate": 2}, "x.json").rate == 2.0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"rate": "0.5"}, 'rate: input should be a valid number, got "0.5"'),
        ({"rate": True}, "rate: input should be a valid number, got true"),
        ({"rate": None}, "rate: input should be a valid number, got null"),
        ({"rate": 1, "parts": [{"size": 2.0}]}, "parts.0.size: input should be a valid integer, got 2.0"),
        ({"rate": 1, "parts": [{}]}, "parts.0.size: is missing"),
        ({"rate": 1, "speed": 2}, "speed: is not a known key"),
        ({"speed": 2}, "rate: is missing; and 1 more"),
        ({"rate": -1.0}, "rate needs at least 0, got -1.0"),
        ([1], "got [1]"),
        ({"rate": math.nan}, "Out of range float values are not JSON compliant"),
        ({"rate": {1, 2}}, "Object of type set is not JSON serializable"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line_with_its_place(content, problem):
    with pytest.raises(RunError) as caught:
        parsed(Whole, content, "the section 'x' of x.toml")
    message = str(caught.value)
    assert message.startswith("the section 'x' of x.toml is damaged (") and message.endswith("); restore it.")
    assert problem in message and "\n" not in message


def test_a_long_value_is_shown_by_its_beginning():
    with pytest.raises(RunError) as caught:
        parsed(Whole, {"rate": "x" * 10_000}, "x.json")
    assert f"{'x' * (MOST_SHOWN - 1)}..." in str(caught.value) and len(str(caught.value)) < 200


def test_nesting_without_end_is_refused():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(RunError, match=r"^x\.json is damaged \(.*\); restore it\.$"):
        parsed(list, nested, "x.json")


def test_infinity_is_a_number_only_where_it_is_accepted():
    assert parsed(Whole, {"rate": math.inf}, "x.json", accepts_infinity=True).rate == math.inf
    with pytest.raises(RunError, match="damaged"):
        parsed(Whole, {"rate": math.inf}, "x.json")
