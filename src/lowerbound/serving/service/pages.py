"""The service's HTML pages: the served models with examples, and a reference of all endpoints; and /metrics.

The pages load nothing from other servers: styles are inline, and images come from the service itself.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from lowerbound import __version__
from lowerbound.data.data_kinds import describe_shape
from lowerbound.serving.service.models import Endpoint, ServedModel
from lowerbound.serving.service.openapi import TEXT, content, errors, returns
from lowerbound.serving.service.service import Service

METHODS = ("get", "post")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ModelCard:
    """One run on the first page."""

    served: ServedModel
    about: str
    endpoints: tuple[Endpoint, ...]
    generates: bool

    @property
    def point(self) -> str:
        """A point in latent space for an example request."""
        return ",".join(["0"] * self.served.model.latent_dim)


def page_routes(service: Service, app: FastAPI) -> APIRouter:
    """The pages, and the metrics for Prometheus."""
    router = APIRouter(default_response_class=HTMLResponse, tags=["Pages and metrics"])
    templates = _environment()

    @router.get("/", responses=errors(), summary="Models, with examples")
    async def index(request: Request) -> HTMLResponse:
        base = str(request.base_url).rstrip("/")
        cards = [_card(service, served) for served in service.catalogue.runs.values()]
        return _page(templates, "models.html.j2", title="Models", cards=cards, base=base, version=__version__)

    @router.get("/docs", responses=errors(), summary="Reference of all endpoints")
    async def docs() -> HTMLResponse:
        document = app.openapi()
        return _page(templates, "endpoints.html.j2", title="Endpoints", groups=_groups(document), version=__version__)

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

    return router


def _card(service: Service, served: ServedModel) -> ModelCard:
    kind = "images" if served.layout == "image" else "rows" if served.layout == "table" else "arrays"
    latents = "latent" if served.model.latent_dim == 1 else "latents"
    about = f"{kind} {describe_shape(served.model.event_shape)}, {served.model.latent_dim} {latents}"
    endpoints = tuple(endpoint for endpoint in service.catalogue.endpoints.values() if endpoint.served is served)
    return ModelCard(served, about, endpoints, any(endpoint.operation.name == "generate" for endpoint in endpoints))


def _groups(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The endpoints by tag, in order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                endpoint = {"path": path, "method": method.upper(), **methods[method]}
                groups.setdefault(endpoint["tags"][0], []).append(endpoint)
    return groups


def _page(templates: Environment, name: str, **content: Any) -> HTMLResponse:
    page = templates.get_template(name).render(**content)
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


def _environment() -> Environment:
    pages, layout = PackageLoader("lowerbound.serving.service", "."), PackageLoader("lowerbound.reporting", ".")
    return Environment(
        loader=ChoiceLoader([pages, layout]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
