"""The whole service as one ASGI application."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any, get_origin

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from lowerbound import __version__
from lowerbound.foundation.allocator import kept_memory
from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http.access import Access, guarded
from lowerbound.serving.http.headers import enveloped
from lowerbound.serving.http.validation import HeadAsGet, allowed, check_query, no_such_endpoint, wrong_method
from lowerbound.serving.image_decoding import Decoders
from lowerbound.serving.service.batching import Batcher, Compute, compute_pass
from lowerbound.serving.service.limits import HELD_BODIES, Admission, Limits, MemoryBudget, RequestError
from lowerbound.serving.service.models import ServedModel, catalogue_of
from lowerbound.serving.service.operations import first_question
from lowerbound.serving.service.pages import page_routes
from lowerbound.serving.service.rest import plain_routes
from lowerbound.serving.service.routes_v2 import protocol_routes
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.telemetry import HUNG_UP, Counted, Failures, Telemetry, log_to_stderr

ABOUT = "Trained variational autoencoders, by the Open Inference Protocol v2 and by plain endpoints."
OPEN = ("/v2/health/live", "/v2/health/ready")
"""What may be asked without a token: it tells nothing."""

NO_TELEMETRY: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""FastAPI would hand traces and failures to whatever collector the environment names."""


def build_application(
    runs: Sequence[ServedModel],
    limits: Limits,
    access: Access,
    log: Callable[[str], None] = log_to_stderr,
    compute: Compute = compute_pass,
) -> FastAPI:
    """The service of these runs."""
    catalogue = catalogue_of(runs)
    telemetry = Telemetry(catalogue)
    batcher = Batcher(limits, telemetry, compute)
    hold = MemoryBudget(HELD_BODIES * limits.max_body)
    service = Service(catalogue, limits, telemetry, batcher, hold, Decoders(limits.max_decoding))
    app = FastAPI(
        title="lowerbound",
        summary=ABOUT,
        version=__version__,
        openapi_url=None,  # page_routes has it
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _at_work(service),
        dependencies=[Depends(_known_query)],
        exception_handlers={
            RequestError: _refused,
            HTTPException: _http_exception,
            RequestValidationError: _invalid,
            ClientDisconnect: _hung_up,
        },
        telemetry=NO_TELEMETRY,
    )
    app.include_router(protocol_routes(service))
    app.include_router(plain_routes(service))
    app.include_router(page_routes(service, app))
    # The last is the outermost.
    app.add_middleware(Failures, log=log)
    app.add_middleware(Admission, most=limits.max_concurrency)
    if access.token:
        _say_that_a_token_is_needed(app)
    app.add_middleware(guarded, access=access, free=OPEN)
    app.add_middleware(enveloped, stopped="the service was stopped.")
    app.add_middleware(Counted, telemetry=telemetry)
    app.add_middleware(HeadAsGet)
    return app


@asynccontextmanager
async def _at_work(service: Service) -> AsyncIterator[None]:
    """Within this, requests are computed; every model has been asked once before it begins."""
    with kept_memory(in_threads=True), closing(service.decoders):
        async with service.batcher.at_work():
            for offer in service.catalogue.offers.values():
                await service.batcher.ask(offer, first_question(offer.operation, offer.served.model))
            yield


async def _known_query(request: Request) -> None:
    """Refuses query parameters that the endpoint does not declare: every route of the service depends on this."""
    route: APIRoute = request.scope["route"]
    declared = {field.alias: field.field_info.annotation for field in route.dependant.query_params}
    lists = [name for name, annotation in declared.items() if get_origin(annotation) is list]
    try:
        check_query(request.query_params, declared, lists)
    except UsageError as error:
        raise RequestError(400, str(error)) from None


async def _refused(request: Request, refusal: RequestError) -> Response:
    return JSONResponse({"error": refusal.reason}, refusal.status, refusal.headers)


async def _http_exception(request: Request, exception: HTTPException) -> Response:
    reason, headers, path = str(exception.detail), exception.headers, request.scope["path"]
    if exception.status_code == 404:
        reason = no_such_endpoint(request.method, path, request.app.openapi()["paths"], "GET /docs lists them all")
    if exception.status_code == 405:
        headers = {"Allow": allowed(exception.headers)}
        reason = wrong_method(request.method, path, headers["Allow"])
    return JSONResponse({"error": reason}, exception.status_code, headers)


async def _invalid(request: Request, invalid: RequestValidationError) -> Response:
    reasons = [f"{'.'.join(map(str, error['loc'][1:]))}: {error['msg']}" for error in invalid.errors()]
    return JSONResponse({"error": f"{'; '.join(reasons)}."}, 422)


async def _hung_up(request: Request, exception: ClientDisconnect) -> Response:
    # Nobody is there to read it; it is for the numbers.
    return Response(status_code=HUNG_UP)


def _say_that_a_token_is_needed(app: FastAPI) -> None:
    """In the OpenAPI document."""
    document = app.openapi()
    document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
