"""Fields of configurations carry their meaning and what they accept, and are checked by it."""

from dataclasses import dataclass, fields
from typing import Literal

import pytest

from lowerbound.foundation.errors import ConfigError, UnknownName
from lowerbound.foundation.settings import accepted_by, check_fields, setting


@dataclass(frozen=True, kw_only=True)
class Example:
    """A configuration."""

    number: float = setting(0.5, "A number.", above=0, below=1)
    sizes: tuple[int, ...] = setting((1,), "Sizes.", at_least=1, at_most=9)
    name: str = setting("a", "A name.", names={"a": "first", "b": "second"}, also=("own",))
    word: Literal["", "left"] = setting("", "A word.")
    weights: dict[str, float] = setting(default_factory=dict, meaning="Weights.", names={"x": "the x"})
    free: str = "anything"

    def __post_init__(self) -> None:
        check_fields(self, "example")


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"number": 1.0}, ConfigError, r"example\.number needs a number in \(0, 1\), got 1"),
        ({"sizes": (1, 10)}, ConfigError, r"example\.sizes needs a number from 1 to 9, got 10"),
        ({"sizes": (1.5,)}, ConfigError, r"example\.sizes needs a whole number, got 1\.5"),
        ({"name": "c"}, UnknownName, r"unknown example\.name 'c'; .*accepted: a, b\."),
        ({"word": "lef"}, UnknownName, r"unknown example\.word 'lef'; did you mean 'left'"),
        ({"weights": {"y": 1.0}}, UnknownName, r"unknown example\.weights 'y'; .*accepted: x\."),
    ],
)
def test_values_that_a_field_does_not_accept_are_refused(values, error, message):
    with pytest.raises(error, match=message):
        Example(**values)


def test_everything_else_is_accepted():
    config = Example(number=0.1, sizes=(9,), name="own", word="left", weights={"x": 2.0}, free="")
    assert config.weights == {"x": 2.0}
    assert Example().weights == {}


def test_a_field_keeps_its_meaning():
    assert [accepted_by(one).meaning for one in fields(Example)][:3] == ["A number.", "Sizes.", "A name."]
    assert accepted_by(fields(Example)[-1]).meaning == ""
