"""What the OpenAPI document says of bodies and answers."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

REASONS = {
    400: "What was sent is not what is accepted.",
    401: "A token is needed.",
    404: "There is nothing of that name.",
    408: "The body did not arrive in time.",
    413: "The body, the image or the number of examples is too large.",
    415: "The body comes in a form that is not accepted.",
    421: "The request was sent to another host.",
    422: "A parameter, or the image, is not what is accepted.",
    500: "Something failed that nobody foresaw; the server's log has it.",
    503: "Too much to do; the header Retry-After says when to try again.",
    504: "The answer was not there in time.",
}
ALWAYS = (400, 401, 421, 500, 503)
WITH_BODY = (408, 413, 415)

Responses = dict[int | str, dict[str, Any]]


class Error(BaseModel):
    """Why a request was refused, in one line."""

    error: str


class Server(BaseModel):
    """Who answers."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Whether the process answers."""

    live: bool


class Ready(BaseModel):
    """Whether it can be asked."""

    ready: bool


class IndexEntry(BaseModel):
    """One model in a list."""

    name: str
    version: str
    state: str
    reason: str


class Tensor(BaseModel):
    """A tensor that goes in or comes out; -1 in a shape is the number of examples."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(BaseModel):
    """A model: one operation of one run."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    parameters: dict[str, str]


def errors(*statuses: int) -> Responses:
    """The answers of requests that are refused: those that any may get, and these."""
    return {status: {"model": Error, "description": REASONS[status]} for status in sorted({*ALWAYS, *statuses})}


def content(**media: dict[str, Any]) -> dict[str, Any]:
    """A body's forms by their media types, "/" written as "__"."""
    return {name.replace("__", "/").replace("_", "-"): {"schema": schema} for name, schema in media.items()}


def returns(what: str, forms: dict[str, Any], headers: dict[str, str] | None = None) -> Responses:
    """An answer that was written by hand."""
    described = {name: {"description": about, "schema": {"type": "integer"}} for name, about in (headers or {}).items()}
    return {200: {"description": what, "content": forms, "headers": described}}


def an_object(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "required": list(required), "properties": properties}


def a_list(items: dict[str, Any], at_least: int = 0) -> dict[str, Any]:
    """The schema of a list."""
    return {"type": "array", "items": items, "minItems": at_least}


TEXT = {"type": "string"}
TRUTH = {"type": "boolean"}
WHOLE = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
NUMBER_OR_NOT = {"type": ["number", "null"]}
BINARY = {"type": "string", "format": "binary"}
ANYTHING: dict[str, Any] = {}

INPUT = an_object(
    ("name", "shape", "datatype"),
    name=TEXT,
    shape=a_list(WHOLE, 1),
    datatype={"enum": ["FP32", "UINT8", "INT32"]},
    parameters=an_object(binary_data_size=WHOLE),
    data=a_list(ANYTHING),
)
WANTED = an_object(("name",), name=TEXT, parameters=an_object(binary_data=TRUTH))
PARAMETERS = an_object(
    seed=WHOLE, sample=TRUTH, num=WHOLE, temperature=NUMBER, num_draws=WHOLE, binary_data_output=TRUTH
)
INFERENCE = an_object(id=TEXT, parameters=PARAMETERS, inputs=a_list(INPUT), outputs=a_list(WANTED))
OUTPUT = an_object(
    ("name", "datatype", "shape"),
    name=TEXT,
    datatype=TEXT,
    shape=a_list(WHOLE),
    parameters=an_object(binary_data_size=WHOLE),
    data=a_list(NUMBER_OR_NOT),
)
INFERRED = an_object(
    ("model_name", "model_version", "outputs"),
    model_name=TEXT,
    model_version=TEXT,
    id=TEXT,
    parameters=an_object(seed=WHOLE, notes=TEXT),
    outputs=a_list(OUTPUT),
)


def of_a_run(**properties: Any) -> dict[str, Any]:
    """The schema of what the plain endpoints answer: whose answer it is, and an entry for each example."""
    return an_object(
        ("model", "version", "examples"),
        model=TEXT,
        version=TEXT,
        examples=a_list(an_object(tuple(properties), **properties)),
        seed=WHOLE,
        notes=a_list(TEXT),
    )
