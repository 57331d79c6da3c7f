"""JSON that someone sent, looked at piece by piece: every piece is what it has to be, or refused with one line."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic_core import from_json, to_json

from lowerbound.foundation.errors import UnknownName
from lowerbound.serving.service.limits import RequestError

MAX_SEED = 2**63 - 1
NUM_DRAWS = (2, 64)  # least and most
MAX_TEMPERATURE = 100.0
LONGEST_SHOWN = 60  # characters

Fields = dict[str, Any]


def parsed(text: bytes) -> Any:
    """JSON, which is neither nested without end nor anything else."""
    try:
        return from_json(text)
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}.") from None


def as_json(value: Any) -> bytes:
    """JSON, which has neither NaN nor infinity: they become null."""
    return to_json(value, inf_nan_mode="null")


def as_object(value: Any, what: str) -> Fields:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(what, value, "an object")
    return value


def as_list(value: Any, what: str) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise wrong(what, value, "a list")
    return value


def known(kind: str, name: Any, accepted: Iterable[str]) -> str:
    """A name that is one of those."""
    names = list(accepted)
    if not isinstance(name, str) or name not in names:
        raise RequestError(400, str(UnknownName(kind, shown(name), names)))
    return name


def given(kind: str, value: Fields, optional: Iterable[str], required: Iterable[str] = ()) -> Fields:
    """The fields of an object without the optional ones that are null, which means absent; others are refused."""
    optional = set(optional)
    for name in value:
        known(kind, name, (*optional, *required))
    return {name: field for name, field in value.items() if field is not None or name not in optional}


def wrong(what: str, came: Any, accepted: str) -> RequestError:
    """What came, and what is accepted."""
    return RequestError(400, f"{what} is {shown(came)}; accepted is {accepted}.")


def shown(value: Any) -> str:
    """What came, as a part of one line, written as in JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def truth(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(f"parameter {name!r}", value, "true or false")
    return value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number."""
    if type(value) is not int or not low <= value <= high:
        raise wrong(f"parameter {name!r}", value, f"a whole number from {low} to {high}")
    return value


def temperature(name: str, value: Any) -> float:
    """What scales the prior's standard deviation."""
    if type(value) not in (int, float) or not 0 <= value <= MAX_TEMPERATURE:
        raise wrong(f"parameter {name!r}", value, f"a number from 0 to {MAX_TEMPERATURE:g}")
    return float(value)


PARAMETERS: dict[str, Callable[[str, Any], Any]] = {
    "binary_data_output": truth,
    "sample": truth,
    "seed": lambda name, value: whole(name, value, 0, MAX_SEED),
    "num": lambda name, value: whole(name, value, 1, MAX_SEED),
    "num_draws": lambda name, value: whole(name, value, *NUM_DRAWS),
    "temperature": temperature,
}
"""What a parameter of a request has to be."""
