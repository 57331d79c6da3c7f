"""The Open Inference Protocol v2 over REST, with the binary tensor extension and an index of models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from lowerbound import __version__
from lowerbound.serving.service import openapi as described
from lowerbound.serving.service.fields import MAX_SEED, MAX_TEMPERATURE, NUM_DRAWS
from lowerbound.serving.service.limits import busy, holding
from lowerbound.serving.service.models import Endpoint
from lowerbound.serving.service.openapi import WITH_BODY, IndexEntry, Live, Metadata, Ready, Server, Tensor, errors
from lowerbound.serving.service.operations import Signature
from lowerbound.serving.service.protocol import HEADER_LENGTH, Written, json_length, read_inference, write_answer
from lowerbound.serving.service.service import Service

PLATFORM = "lowerbound"
Name = Annotated[str, Path(description="RUN.operation, as conv.encode.")]
Version = Annotated[str, Path(description="The first digits of the checksum of the run's model.")]
EXTENSIONS = ["binary_tensor_data", "model_repository"]

ABOUT_PARAMETERS = {
    "seed": f"of what is drawn, 0 to {MAX_SEED}; chosen, and told, if not given",
    "sample": "true for a draw",
    "num": "how many examples",
    "temperature": f"scales the prior's standard deviation, 0 to {MAX_TEMPERATURE:g}",
    "num_draws": f"from the posterior for each example, {NUM_DRAWS[0]} to {NUM_DRAWS[1]}",
}

INFER = {
    "requestBody": {
        "required": True,
        "description": f"JSON; behind it, where {HEADER_LENGTH} says how long it is, the raw bytes of tensors.",
        "content": described.content(application__json=described.INFERENCE, application__octet_stream=described.BINARY),
    },
    "parameters": [
        {
            "name": HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "The length of the JSON, where raw bytes follow it.",
            "schema": described.WHOLE,
        }
    ],
}
INFERRED = described.returns(
    "The tensors; as octet-stream where any of them is binary.",
    described.content(application__json=described.INFERRED, application__octet_stream=described.BINARY),
)


def protocol_routes(service: Service) -> APIRouter:
    """Every endpoint of the protocol."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    # First what is asked most: routes are tried one after the other.
    _add_inference(router, service)
    _add_server(router, service)
    _add_models(router, service)
    return router


def _add_inference(router: APIRouter, service: Service) -> None:
    answers = INFERRED | errors(404, 422, 504, *WITH_BODY)

    @router.post("/models/{name}/infer", responses=answers, openapi_extra=INFER, summary="Ask a model")
    async def infer(request: Request, name: Name) -> Response:
        return await _inferred(service, request, service.offer(name))

    @router.post(
        "/models/{name}/versions/{version}/infer", responses=answers, openapi_extra=INFER, summary="Ask a version of it"
    )
    async def infer_version(request: Request, name: Name, version: Version) -> Response:
        return await _inferred(service, request, service.offer(name, version))


async def _inferred(service: Service, request: Request, offer: Endpoint) -> Response:
    limits = service.limits
    with holding(service.hold, request) as body:
        with service.batcher.arriving():
            length = request.headers.get(HEADER_LENGTH)
            content = await body.read(limits, aligned_at=json_length(length) if length else 0)
            if offer.served.schema.binarisation == "none":
                inference = read_inference(offer, content, length, limits)
            else:  # image by image, which takes longer than others should wait
                inference = await service.apart(read_inference, offer, content, length, limits)
        found = await service.answer(request, offer, inference.question)
    return _response(write_answer(inference, found))


def _add_server(router: APIRouter, service: Service) -> None:
    @router.get("", responses=errors(), summary="Who answers")
    async def server() -> Server:
        return Server(name="lowerbound", version=__version__, extensions=EXTENSIONS)

    @router.get("/health/live", responses=errors(), summary="Whether the process answers")
    async def live() -> Live:
        return Live(live=True)

    @router.get("/health/ready", responses=errors(), summary="Whether models can be asked")
    async def ready() -> Ready:
        if not service.batcher.is_at_work:
            raise busy("nothing is being computed")
        return Ready(ready=True)

    @router.get("/models", responses=errors(), summary="All models")
    async def models() -> list[IndexEntry]:
        return [_entry(offer) for offer in service.catalogue.offers.values()]

    @router.post("/repository/index", responses=errors(), summary="All models, as Triton lists them")
    async def index() -> list[IndexEntry]:
        return [_entry(offer) for offer in service.catalogue.offers.values()]


def _add_models(router: APIRouter, service: Service) -> None:
    absent = errors(404, 422)

    @router.get("/models/{name}", responses=absent, summary="What goes in and comes out of a model")
    async def metadata(name: Name) -> Metadata:
        return _metadata(service.offer(name))

    @router.get("/models/{name}/versions/{version}", responses=absent, summary="The same, of a version")
    async def metadata_of_version(name: Name, version: Version) -> Metadata:
        return _metadata(service.offer(name, version))

    @router.get("/models/{name}/ready", responses=absent, summary="Whether a model can be asked")
    async def model_ready(name: Name) -> Ready:
        service.offer(name)
        return Ready(ready=True)

    @router.get("/models/{name}/versions/{version}/ready", responses=absent, summary="The same, of a version")
    async def version_ready(name: Name, version: Version) -> Ready:
        service.offer(name, version)
        return Ready(ready=True)


def _response(written: Written) -> Response:
    if written.header_length is None:
        return Response(written.body, media_type="application/json")
    headers = {HEADER_LENGTH: str(written.header_length)}
    return Response(written.body, media_type="application/octet-stream", headers=headers)


def _entry(offer: Endpoint) -> IndexEntry:
    return IndexEntry(name=offer.name, version=offer.served.version, state="READY", reason="")


def _metadata(offer: Endpoint) -> Metadata:
    return Metadata(
        name=offer.name,
        versions=[offer.served.version],
        platform=PLATFORM,
        inputs=[_tensor(signature) for signature in offer.inputs],
        outputs=[_tensor(signature) for signature in offer.outputs],
        parameters={name: ABOUT_PARAMETERS[name] for name in offer.operation.parameters},
    )


def _tensor(signature: Signature) -> Tensor:
    return Tensor(name=signature.name, datatype=signature.datatype, shape=list(signature.shape))
