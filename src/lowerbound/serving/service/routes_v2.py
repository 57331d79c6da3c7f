"""Routes of the Open Inference Protocol v2 over REST, with the binary tensor extension and an index of models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from lowerbound import __version__
from lowerbound.serving.http.json_bodies import inlined_schema
from lowerbound.serving.service.limits import body_within, busy
from lowerbound.serving.service.models import Endpoint
from lowerbound.serving.service.openapi import BINARY, WITH_BODY, content, errors, returns
from lowerbound.serving.service.operations import Signature
from lowerbound.serving.service.protocol import (
    HEADER_LENGTH,
    EncodedResponse,
    encode_response,
    json_length,
    parse_request,
)
from lowerbound.serving.service.schemas import (
    MAX_SEED,
    MAX_TEMPERATURE,
    NUM_DRAWS,
    IndexEntry,
    InferBody,
    InferResponse,
    Live,
    ModelMetadata,
    Ready,
    ServerMetadata,
    TensorMetadata,
)
from lowerbound.serving.service.service import Service

PLATFORM = "lowerbound"
Name = Annotated[str, Path(description="RUN.operation, such as conv.encode.")]
Version = Annotated[str, Path(description="The first digits of the checksum of the run's model.")]
EXTENSIONS = ["binary_tensor_data", "model_repository"]

PARAMETER_DESCRIPTIONS = {
    "seed": f"random seed, 0 to {MAX_SEED}; chosen by the server, and returned, if not given",
    "sample": "true to return a draw",
    "num": "number of examples",
    "temperature": f"temperature of the prior, 0 to {MAX_TEMPERATURE:g}",
    "num_draws": f"posterior draws per example, {NUM_DRAWS[0]} to {NUM_DRAWS[1]}",
}

INFER_REQUEST = {
    "requestBody": {
        "required": True,
        "description": f"JSON, followed by the raw bytes of tensors if {HEADER_LENGTH} gives the length of the JSON.",
        "content": content(application__json=inlined_schema(InferBody), application__octet_stream=BINARY),
    },
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "The length of the JSON, if raw bytes follow it.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
}
INFER_RESPONSES = returns(
    "The output tensors; octet-stream if any of them is binary.",
    content(application__json=inlined_schema(InferResponse), application__octet_stream=BINARY),
) | errors(404, 422, 504, *WITH_BODY)


def protocol_routes(service: Service) -> APIRouter:
    """Every endpoint of the protocol."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    # The most frequent requests first: routes are tried in order.
    _add_inference(router, service)
    _add_server(router, service)
    _add_models(router, service)
    return router


def _add_inference(router: APIRouter, service: Service) -> None:
    @router.post(
        "/models/{name}/infer", responses=INFER_RESPONSES, openapi_extra=INFER_REQUEST, summary="Run inference"
    )
    async def infer(request: Request, name: Name) -> Response:
        return await _infer(service, request, service.endpoint(name))

    @router.post(
        "/models/{name}/versions/{version}/infer",
        responses=INFER_RESPONSES,
        openapi_extra=INFER_REQUEST,
        summary="Run inference with a version",
    )
    async def infer_version(request: Request, name: Name, version: Version) -> Response:
        return await _infer(service, request, service.endpoint(name, version))


async def _infer(service: Service, request: Request, endpoint: Endpoint) -> Response:
    limits = service.limits
    with body_within(service.budget, request) as body:
        with service.batcher.arriving():
            length = request.headers.get(HEADER_LENGTH)
            received = await body.read(limits, aligned_at=json_length(length) if length else 0)
            if endpoint.served.schema.binarisation == "none":
                parsed = parse_request(endpoint, received, length, limits)
            else:  # binarised image by image, which would block other requests for too long
                parsed = await service.in_thread(parse_request, endpoint, received, length, limits)
        outputs = await service.infer(request, endpoint, parsed.request)
    return _response(encode_response(parsed, outputs))


def _add_server(router: APIRouter, service: Service) -> None:
    @router.get("", responses=errors(), summary="Server metadata")
    async def server() -> ServerMetadata:
        return ServerMetadata(name="lowerbound", version=__version__, extensions=EXTENSIONS)

    @router.get("/health/live", responses=errors(), summary="Liveness of the server")
    async def live() -> Live:
        return Live(live=True)

    @router.get("/health/ready", responses=errors(), summary="Readiness of the server")
    async def ready() -> Ready:
        if not service.batcher.is_running:
            raise busy("the server is not ready")
        return Ready(ready=True)

    @router.get("/models", responses=errors(), summary="List of models")
    async def models() -> list[IndexEntry]:
        return [_index_entry(endpoint) for endpoint in service.catalogue.endpoints.values()]

    @router.post("/repository/index", responses=errors(), summary="List of models, as in Triton")
    async def index() -> list[IndexEntry]:
        return [_index_entry(endpoint) for endpoint in service.catalogue.endpoints.values()]


def _add_models(router: APIRouter, service: Service) -> None:
    absent = errors(404, 422)

    @router.get("/models/{name}", responses=absent, summary="Model metadata: inputs, outputs, parameters")
    async def metadata(name: Name) -> ModelMetadata:
        return _metadata(service.endpoint(name))

    @router.get("/models/{name}/versions/{version}", responses=absent, summary="Metadata of a version")
    async def metadata_of_version(name: Name, version: Version) -> ModelMetadata:
        return _metadata(service.endpoint(name, version))

    @router.get("/models/{name}/ready", responses=absent, summary="Readiness of a model")
    async def model_ready(name: Name) -> Ready:
        service.endpoint(name)
        return Ready(ready=True)

    @router.get("/models/{name}/versions/{version}/ready", responses=absent, summary="Readiness of a version")
    async def version_ready(name: Name, version: Version) -> Ready:
        service.endpoint(name, version)
        return Ready(ready=True)


def _response(encoded: EncodedResponse) -> Response:
    if encoded.header_length is None:
        return Response(encoded.body, media_type="application/json")
    headers = {HEADER_LENGTH: str(encoded.header_length)}
    return Response(encoded.body, media_type="application/octet-stream", headers=headers)


def _index_entry(endpoint: Endpoint) -> IndexEntry:
    return IndexEntry(name=endpoint.name, version=endpoint.served.version, state="READY", reason="")


def _metadata(endpoint: Endpoint) -> ModelMetadata:
    return ModelMetadata(
        name=endpoint.name,
        versions=[endpoint.served.version],
        platform=PLATFORM,
        inputs=[_tensor(signature) for signature in endpoint.inputs],
        outputs=[_tensor(signature) for signature in endpoint.outputs],
        parameters={name: PARAMETER_DESCRIPTIONS[name] for name in endpoint.operation.parameters},
    )


def _tensor(signature: Signature) -> TensorMetadata:
    return TensorMetadata(name=signature.name, datatype=signature.datatype, shape=list(signature.shape))
