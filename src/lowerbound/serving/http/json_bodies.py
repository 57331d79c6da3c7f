"""JSON bodies: parsed, validated by strict pydantic models, and refused in one line.

A model's JSON schema provides both the OpenAPI description and what an error message says is accepted.
"""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from lowerbound.foundation.errors import UnknownName
from lowerbound.serving.http.errors import RequestError

MAX_SHOWN = 60  # characters of a value in an error message
TYPE_NAMES = {"boolean": "true or false", "string": "a string", "array": "a list", "object": "an object"}
NUMBER_NAMES = {"integer": "an integer", "number": "a number"}

JsonObject = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


class StrictModel(BaseModel):
    """A JSON object with only the declared fields, whose values are not converted."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def parse_json(text: bytes) -> Any:
    """The value of a JSON text; RequestError with 400 for anything else, or nesting without bounds."""
    try:
        return from_json(text)
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON: {error}.") from None


def as_json(value: Any) -> bytes:
    """A value as JSON; NaN and infinity, which JSON lacks, become null."""
    return to_json(value, inf_nan_mode="null")


def validate(model: type[Model], value: Any) -> Model:
    """A parsed JSON value as a `model`; RequestError with 400 for the first field that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise RequestError(400, _reason(model, error.errors(include_url=False)[0])) from None


def not_accepted(place: str, value: Any, accepted: str) -> RequestError:
    """The value sent at a place, and the values accepted there."""
    return RequestError(400, f"{place} is {shown(value)}; accepted: {accepted}.")


def check_known(kind: str, name: str, accepted: Iterable[str]) -> str:
    """A name that is in `accepted`; RequestError with 400, suggesting the nearest one, for any other."""
    names = list(accepted)
    if name not in names:
        raise RequestError(400, str(UnknownName(kind, name, names)))
    return name


def shown(value: Any) -> str:
    """A value as JSON, shortened for an error message."""
    text = json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def _reason(model: type[BaseModel], error: ErrorDetails) -> str:
    place = error["loc"]
    if error["type"] == "extra_forbidden":
        return str(UnknownName(_kind(place[:-1]), str(place[-1]), _node(model, place[:-1])["properties"]))
    if error["type"] == "missing":
        return f"{_path(place)} is missing; accepted: {_accepted(_node(model, place))}."
    return str(not_accepted(_path(place), error["input"], _accepted(_node(model, place))))


def _path(place: Sequence[int | str]) -> str:
    """A place as in `inputs[0].shape`; the body itself for the root."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"the body{path}" if path[:1] in ("", "[") else path.removeprefix(".")


def _kind(owner: Sequence[int | str]) -> str:
    """What an unknown name is: a field or parameter of its owner, which is not named if it is the body itself."""
    is_parameter = owner[-1:] == ("parameters",)
    place = owner[:-1] if is_parameter else owner
    return f"{f'{_path(place)} ' if place else ''}{'parameter' if is_parameter else 'field'}"


@cache
def _schema(model: type[BaseModel]) -> JsonObject:
    return inlined_schema(model)


def inlined_schema(model: type[BaseModel]) -> JsonObject:
    """A model's JSON schema without references, to be put anywhere in an OpenAPI document."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(definitions[node["$ref"].rpartition("/")[2]])
        return {key: inline(value) for key, value in node.items()}

    inlined: JsonObject = inline(schema)
    return inlined


def _node(model: type[BaseModel], place: Sequence[int | str]) -> JsonObject:
    """The part of a model's schema that describes a place."""
    node = _schema(model)
    for part in place:
        node = node["items"] if isinstance(part, int) else node["properties"][part]
        # An optional value is one of its type and null.
        node = next((option for option in node.get("anyOf", ()) if option.get("type") != "null"), node)
    return node


def _bound(end: int | float) -> str:
    return f"{end:g}" if isinstance(end, float) else str(end)


def _accepted(node: JsonObject) -> str:
    """The values that a schema accepts, in words."""
    if "enum" in node:
        return ", ".join(map(str, node["enum"]))
    if node.get("type") in NUMBER_NAMES:
        bounds = (("from", node.get("minimum")), ("to", node.get("maximum")))
        return " ".join(
            [NUMBER_NAMES[node["type"]], *(f"{word} {_bound(end)}" for word, end in bounds if end is not None)]
        )
    return TYPE_NAMES.get(str(node.get("type")), "a JSON value")


def values_given(text: str) -> dict[str, Any]:
    """Values of conditions by name, from a JSON object as text: a text or a number for each, or a list of these."""
    if not text:
        return {}
    values: Any = parse_json(text.encode())
    items = list(values.values()) if isinstance(values, dict) else [None]
    flat = [cell for item in items for cell in (item if isinstance(item, list) else [item])]
    if not all(isinstance(cell, str | int | float) and not isinstance(cell, bool) for cell in flat):
        raise RequestError(400, 'given is not a JSON object of texts and numbers, such as {"label": "3"}.')
    return dict(values)
