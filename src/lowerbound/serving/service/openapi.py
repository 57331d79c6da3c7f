"""Helpers for the OpenAPI document: error responses, media types of bodies, and schemas of pydantic models."""

from typing import Any

from pydantic import BaseModel

from lowerbound.serving.http.json_bodies import inlined_schema
from lowerbound.serving.service.schemas import ErrorBody

REASONS = {
    400: "Invalid request.",
    401: "Token missing or wrong.",
    404: "Unknown model, version or run.",
    408: "The body did not arrive in time.",
    413: "Body, image or number of examples too large.",
    415: "Unsupported form of body.",
    421: "Request for another host.",
    422: "Invalid parameter or image.",
    500: "Internal error; the server's log has the details.",
    503: "Server overloaded; the header Retry-After says when to try again.",
    504: "The response was not ready in time.",
}
ANY_REQUEST = (400, 401, 421, 500, 503)
WITH_BODY = (408, 413, 415)
TEXT = {"type": "string"}
BINARY = {"type": "string", "format": "binary"}

Responses = dict[int | str, dict[str, Any]]
Content = dict[str, Any]


def errors(*statuses: int) -> Responses:
    """The error responses that every endpoint has, and the given ones."""
    return {
        status: {"model": ErrorBody, "description": REASONS[status]} for status in sorted({*ANY_REQUEST, *statuses})
    }


def content(**schemas: dict[str, Any]) -> Content:
    """The schemas of a body by media type, in which "/" is written as "__"."""
    return {name.replace("__", "/").replace("_", "-"): {"schema": schema} for name, schema in schemas.items()}


def json_content(model: type[BaseModel]) -> Content:
    """A JSON body with the schema of a pydantic model."""
    return content(application__json=inlined_schema(model))


def returns(description: str, body: Content, headers: dict[str, str] | None = None) -> Responses:
    """A successful response that is written without FastAPI's serialisation."""
    described = {name: {"description": text, "schema": {"type": "integer"}} for name, text in (headers or {}).items()}
    return {200: {"description": description, "content": body, "headers": described}}
