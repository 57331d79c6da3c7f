"""Error responses: every refusal is one line of JSON, {"error": reason}, with its HTTP status."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse


class RequestError(Exception):
    """A refused request: the HTTP status, the reason in one line, and headers for the response."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def error_response(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response {"error": reason}."""
    return JSONResponse({"error": reason}, status, headers)


async def on_request_error(request: Request, error: Exception) -> JSONResponse:
    """Exception handler for RequestError."""
    assert isinstance(error, RequestError)
    return error_response(error.status, error.reason, error.headers)
