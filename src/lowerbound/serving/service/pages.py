"""The service's HTML pages: the served models with examples, and a reference of all endpoints; and /metrics.

The pages load nothing from other servers: styles are inline, and images come from the service itself. The only script,
try.js, sends the requests of the reference's forms.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from lowerbound import __version__
from lowerbound.data.data_kinds import describe_shape
from lowerbound.serving.loaded_model import first_values
from lowerbound.serving.service.examples import code_of, example_body, example_of, file_of, inference_body, point_of
from lowerbound.serving.service.models import Endpoint, ServedModel
from lowerbound.serving.service.openapi import BINARY, TEXT, content, errors, json_content, returns
from lowerbound.serving.service.rest import Run
from lowerbound.serving.service.schemas import InferBody
from lowerbound.serving.service.service import Service

METHODS = ("get", "post")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
SCRIPT = "try.js"
POLICY_WITH_FORMS = POLICY.replace("data:", "data: blob:") + "; script-src 'self'; connect-src 'self'"

ProtocolModel = Annotated[
    str, Query(description="RUN.operation, such as conv.encode, or RUN for its encode; optional if one run is served.")
]


@dataclass(frozen=True)
class ModelCard:
    """One run on the first page."""

    served: ServedModel
    about: str
    endpoints: tuple[Endpoint, ...]
    generates: bool
    point: str  # in latent space, for an example request
    file: str  # name of an example's file
    given: str  # the query with values of a conditional model's conditions; empty for others


def page_routes(service: Service, app: FastAPI) -> APIRouter:
    """The pages, and the metrics for Prometheus."""
    router = APIRouter(default_response_class=HTMLResponse, tags=["Pages and metrics"])
    templates = _environment()
    runs = service.catalogue.runs
    # Once for each run, because they take forward passes.
    examples = {name: example_of(served) for name, served in runs.items()}
    codes = {name: code_of(served) for name, served in runs.items()}
    cards = [_card(service, served, point_of(codes[name])) for name, served in runs.items()]

    @router.get("/", responses=errors(), summary="Models, with examples")
    async def index(request: Request) -> HTMLResponse:
        base = str(request.base_url).rstrip("/")
        return _page(templates, "models.html.j2", title="Models", cards=cards, base=base, version=__version__)

    @router.get("/docs", responses=errors(), summary="Reference of all endpoints")
    async def docs() -> HTMLResponse:
        document = app.openapi()
        about = {"title": "Endpoints", "groups": _groups(document), "served": _served(cards), "version": __version__}
        return _page(templates, "endpoints.html.j2", POLICY_WITH_FORMS, **about)

    @router.get(f"/{SCRIPT}", include_in_schema=False)
    async def script() -> Response:
        return Response(_read_script(), media_type="text/javascript")

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @router.get(
        "/metrics",
        responses=returns("Counters and histograms.", content(text__plain=TEXT)) | errors(),
        response_class=Response,
        summary="Metrics for Prometheus",
    )
    async def metrics() -> Response:
        return Response(service.telemetry.text(), media_type=service.telemetry.media_type)

    _add_examples(router, service, examples, codes)
    return router


def _add_examples(
    router: APIRouter, service: Service, examples: dict[str, np.ndarray], codes: dict[str, np.ndarray]
) -> None:
    bodies = {name: example_body(served, examples[name]) for name, served in service.catalogue.runs.items()}
    requests = {
        name: inference_body(endpoint, examples[endpoint.served.name], codes[endpoint.served.name])
        for name, endpoint in service.catalogue.endpoints.items()
    }
    example = returns("An image file, or rows.", content(image__png=BINARY, application__json={"type": "array"}))

    @router.get("/example", responses=example | errors(404, 422), response_class=Response, summary="Example body")
    async def example_of_run(run: Run = "") -> Response:
        served = service.run(run)
        return Response(bodies[served.name], media_type=file_of(served)[1])

    inference = returns("A body of /v2/models/MODEL/infer.", json_content(InferBody)) | errors(404, 422)

    @router.get("/example.json", responses=inference, response_class=Response, summary="Example body of the protocol")
    async def example_of_model(model: ProtocolModel = "") -> JSONResponse:
        is_run = not model or model in service.catalogue.runs
        endpoint = service.operation(model, "encode") if is_run else service.endpoint(model)
        return JSONResponse(requests[endpoint.name])


def _served(cards: list[ModelCard]) -> list[dict[str, Any]]:
    """What the forms need to know of each run."""
    return [
        {
            "name": card.served.name,
            "version": card.served.version,
            "file": card.file,
            "point": card.point,
            "given": json.dumps(first_values(card.served.model)) if card.given else "",
            "models": [endpoint.name for endpoint in card.endpoints],
        }
        for card in cards
    ]


def _read_script() -> bytes:
    return (resources.files("lowerbound.serving.service") / SCRIPT).read_bytes()


def _card(service: Service, served: ServedModel, point: str) -> ModelCard:
    kind = "images" if served.layout == "image" else "rows" if served.layout == "table" else "arrays"
    latents = "latent" if served.model.latent_dim == 1 else "latents"
    about = f"{kind} {describe_shape(served.model.event_shape)}, {served.model.latent_dim} {latents}"
    endpoints = tuple(endpoint for endpoint in service.catalogue.endpoints.values() if endpoint.served is served)
    generates = any(endpoint.operation.name == "generate" for endpoint in endpoints)
    values = first_values(served.model)
    given = f"&given={quote(json.dumps(values))}" if values else ""
    return ModelCard(served, about, endpoints, generates, point, file_of(served)[0], given)


def _groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The endpoints by tag, in order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                endpoint = {"path": path, "method": method.upper(), **methods[method]}
                groups.setdefault(endpoint["tags"][0], []).append(endpoint)
    return groups


def _page(templates: Environment, name: str, policy: str = POLICY, **content: Any) -> HTMLResponse:
    page = templates.get_template(name).render(**content)
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _environment() -> Environment:
    pages, layout = PackageLoader("lowerbound.serving.service", "."), PackageLoader("lowerbound.reporting", ".")
    return Environment(
        loader=ChoiceLoader([pages, layout]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
