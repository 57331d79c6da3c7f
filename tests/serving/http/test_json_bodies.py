"""JSON bodies are parsed and checked without conversions, and refused in one line."""

import json
import math
from typing import Annotated

import pytest
from pydantic import Field

from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import (
    MAX_SHOWN,
    StrictModel,
    as_json,
    check_known,
    inlined_schema,
    parse_json,
    shown,
    validate,
)


class Parameters(StrictModel):
    seed: Annotated[int, Field(ge=0, le=9)] | None = None


class Entry(StrictModel):
    name: str
    shape: list[int]
    scale: Annotated[float, Field(ge=0.0, le=1e30)] = 1.0


class Body(StrictModel):
    entries: list[Entry]
    parameters: Parameters | None = None
    is_raw: bool = False


ENTRY = {"name": "x", "shape": [1]}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"nul", b"[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(RequestError) as caught:
        parse_json(text)
    assert caught.value.status == 400
    assert caught.value.reason.startswith("the body is not JSON: ") and "\n" not in caught.value.reason


def test_numbers_that_json_lacks_are_null():
    assert json.loads(as_json({"x": [1.5, math.nan, math.inf]})) == {"x": [1.5, None, None]}


def test_a_body_becomes_the_model():
    body = validate(Body, {"entries": [ENTRY], "parameters": {"seed": 3}})
    assert body == Body(entries=[Entry(name="x", shape=[1])], parameters=Parameters(seed=3))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "the body is []; accepted: an object."),
        ({}, "entries is missing; accepted: a list."),
        ({"entries": {}}, "entries is {}; accepted: a list."),
        ({"entries": [3]}, "entries[0] is 3; accepted: an object."),
        ({"entries": [{"name": "x"}]}, "entries[0].shape is missing; accepted: a list."),
        ({"entries": [{**ENTRY, "name": 1}]}, "entries[0].name is 1; accepted: a string."),
        ({"entries": [{**ENTRY, "shape": [1, "2"]}]}, 'entries[0].shape[1] is "2"; accepted: an integer.'),
        ({"entries": [{**ENTRY, "scale": -1}]}, "entries[0].scale is -1; accepted: a number from 0 to 1e+30."),
        ({"entries": [], "is_raw": 1}, "is_raw is 1; accepted: true or false."),
        ({"entries": [], "parameters": {"seed": 10}}, "parameters.seed is 10; accepted: an integer from 0 to 9."),
        ({"entries": [], "parameters": {"seed": True}}, "parameters.seed is true; accepted: an integer from 0 to 9."),
        ({"entries": [], "parameters": {"sead": 1}}, "unknown parameter 'sead'; did you mean 'seed'? accepted: seed"),
        ({"entries": [], "is_row": True}, "unknown field 'is_row'; did you mean 'is_raw'?"),
        ({"entries": [{**ENTRY, "nam": 1}]}, "unknown entries[0] field 'nam'; did you mean 'name'?"),
    ],
)
def test_the_first_field_that_does_not_fit_is_named_with_what_is_accepted(value, reason):
    with pytest.raises(RequestError) as caught:
        validate(Body, value)
    assert caught.value.status == 400
    assert caught.value.reason.startswith(reason)


def test_a_long_value_is_shown_by_its_beginning():
    assert shown([1, 2]) == "[1, 2]"
    assert len(shown("x" * 1000)) == MAX_SHOWN and shown("x" * 1000).endswith("...")


def test_an_unknown_name_is_refused_with_the_nearest():
    assert check_known("output", "mean", ["mean", "code"]) == "mean"
    with pytest.raises(RequestError, match="unknown output 'maen'; did you mean 'mean'"):
        check_known("output", "maen", iter(["mean", "code"]))


def test_an_inlined_schema_refers_to_nothing():
    schema = inlined_schema(Body)
    assert "$ref" not in json.dumps(schema) and "$defs" not in schema
    assert schema["properties"]["entries"]["items"]["properties"]["shape"]["items"] == {"type": "integer"}
