"""build_application: the inference service as an ASGI application, with its middleware and exception handlers."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, get_origin

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lowerbound import __version__
from lowerbound.foundation.allocator import kept_memory
from lowerbound.serving.http.access import Access, with_access_checks
from lowerbound.serving.http.errors import RequestError, error_response, on_request_error
from lowerbound.serving.http.headers import with_default_headers
from lowerbound.serving.http.validation import HeadAsGet, check_query, routing_error
from lowerbound.serving.image_decoding import Decoders
from lowerbound.serving.service.batching import Batcher, Compute, compute_batch
from lowerbound.serving.service.limits import MAX_BODIES, Admission, Limits, MemoryBudget
from lowerbound.serving.service.models import ServedModel, catalogue_of
from lowerbound.serving.service.operations import warm_up_request
from lowerbound.serving.service.pages import page_routes
from lowerbound.serving.service.rest import plain_routes
from lowerbound.serving.service.routes_v2 import protocol_routes
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.telemetry import CLIENT_CLOSED, InternalErrors, RequestMetrics, Telemetry, log_to_stderr

ABOUT = "Trained variational autoencoders over the Open Inference Protocol v2 and plain HTTP endpoints."
NO_TOKEN = ("/v2/health/live", "/v2/health/ready")
"""Paths that need no token, because they reveal nothing."""

NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""FastAPI would send traces and errors to a collector named in the environment."""


def build_application(
    runs: Sequence[ServedModel],
    limits: Limits,
    access: Access,
    log: Callable[[str], None] = log_to_stderr,
    compute: Compute = compute_batch,
) -> FastAPI:
    """The service for these runs."""
    catalogue = catalogue_of(runs)
    telemetry = Telemetry(catalogue)
    batcher = Batcher(limits, telemetry, compute)
    budget = MemoryBudget(MAX_BODIES * limits.max_body)
    service = Service(catalogue, limits, telemetry, batcher, budget, Decoders(limits.max_decoding))
    app = FastAPI(
        title="lowerbound",
        summary=ABOUT,
        version=__version__,
        openapi_url=None,  # in page_routes
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _running(service),
        dependencies=[Depends(_check_query)],
        exception_handlers={
            RequestError: on_request_error,
            HTTPException: _on_routing_error,
            RequestValidationError: _on_invalid_parameter,
            ClientDisconnect: _on_disconnect,
        },
        telemetry=NO_TELEMETRY,
    )
    app.include_router(protocol_routes(service))
    app.include_router(plain_routes(service))
    app.include_router(page_routes(service, app))
    # The last one added is the outermost.
    app.add_middleware(InternalErrors, log=log)
    app.add_middleware(Admission, max_concurrency=limits.max_concurrency)
    if access.token:
        _document_token(app)
    app.add_middleware(with_access_checks, access=access, free=NO_TOKEN)
    app.add_middleware(with_default_headers, stopped="the service was stopped.")
    app.add_middleware(RequestMetrics, telemetry=telemetry)
    app.add_middleware(HeadAsGet)
    return app


@asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    """Compute requests within this context, after a warm-up of every endpoint."""
    with kept_memory(in_threads=True), closing(service.decoders):
        async with service.batcher.running():
            for endpoint in service.catalogue.endpoints.values():
                await service.batcher.submit(endpoint, warm_up_request(endpoint.operation, endpoint.served.model))
            yield


async def _check_query(request: Request) -> None:
    """Refuse query parameters that an endpoint does not declare; a dependency of every route."""
    route: APIRoute = request.scope["route"]
    declared = {field.alias: field.field_info.annotation for field in route.dependant.query_params}
    lists = [name for name, annotation in declared.items() if get_origin(annotation) is list]
    check_query(request.query_params, declared, lists)


async def _on_routing_error(request: Request, error: HTTPException) -> Response:
    return routing_error(request, error, request.app.openapi()["paths"], "GET /docs lists all endpoints")


async def _on_invalid_parameter(request: Request, invalid: RequestValidationError) -> Response:
    reasons = [f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in invalid.errors()]
    return error_response(422, f"{'; '.join(reasons)}.")


async def _on_disconnect(request: Request, error: ClientDisconnect) -> Response:
    # The client is gone; the status is for the metrics.
    return Response(status_code=CLIENT_CLOSED)


def _document_token(app: FastAPI) -> None:
    """Add the bearer token to the OpenAPI document."""
    document = app.openapi()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
