"""Plain endpoints: a file or JSON as the body, and an image or JSON as the response."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from lowerbound.foundation.text import pluralise
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import as_json, inlined_schema, values_given
from lowerbound.serving.service.formats import (
    examples_as_json,
    examples_as_png,
    is_image,
    read_examples,
    read_image,
)
from lowerbound.serving.service.limits import (
    JSON_BYTES_PER_NUMBER,
    body_within,
    check_num_examples,
    check_response_length,
)
from lowerbound.serving.service.models import Endpoint, ServedModel
from lowerbound.serving.service.openapi import BINARY, WITH_BODY, content, errors, json_content, returns
from lowerbound.serving.service.operations import InferenceRequest, Outputs
from lowerbound.serving.service.protocol import random_seed
from lowerbound.serving.service.schemas import (
    MAX_SEED,
    MAX_TEMPERATURE,
    NUM_DRAWS,
    DecodedExample,
    EncodedExample,
    ExamplesBody,
    GeneratedExample,
    ReconstructedExample,
    RunResponse,
    ScoreResponse,
)
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.validation import InputExamples, check_latents, context_given

SEED_HEADER = "Lowerbound-Seed"
MAX_TILES = 256
FLOAT_BYTES = 4

Run = Annotated[str, Query(alias="model", description="Name of the run; optional if only one is served.")]
Seed = Annotated[
    int | None, Query(ge=0, le=MAX_SEED, description="Random seed; chosen by the server, and returned, if not given.")
]
Sample = Annotated[bool, Query(description="Whether to return a draw z from the posterior.")]
Draws = Annotated[int, Query(ge=NUM_DRAWS[0], le=NUM_DRAWS[1], description="Posterior draws per example.")]
Num = Annotated[int, Query(ge=1, le=MAX_TILES, description="Number of examples.")]
Temperature = Annotated[
    float, Query(ge=0, le=MAX_TEMPERATURE, allow_inf_nan=False, description="Temperature of the prior.")
]
Points = Annotated[
    list[str], Query(alias="z", description="A point in latent space, as comma-separated numbers; may be repeated.")
]

EXAMPLES_BODY = {
    "requestBody": {
        "required": True,
        "description": "An image file, or JSON: a list of rows, or of arrays of stored numbers.",
        "content": content(
            image__png=BINARY,
            image__jpeg=BINARY,
            application__octet_stream=BINARY,
            application__json=inlined_schema(ExamplesBody),
        ),
    }
}
Given = Annotated[
    str,
    Query(
        description='Values of a conditional model\'s conditions as a JSON object, such as {"label": "3"}: one for all '
        "examples, or a list with one for each."
    ),
]
PNG = content(image__png=BINARY)
READING = errors(404, 422, 504, *WITH_BODY)
WRITING = errors(404, 413, 422, 504)


def plain_routes(service: Service) -> APIRouter:
    """All plain endpoints."""
    router = APIRouter(tags=["Plain endpoints"])
    _add_inference(router, service)
    _add_generation(router, service)
    return router


def _add_inference(router: APIRouter, service: Service) -> None:
    responses = returns("The posterior of each example.", json_content(RunResponse[EncodedExample])) | READING

    @router.post("/encode", responses=responses, openapi_extra=EXAMPLES_BODY, summary="Encode examples")
    async def encode(
        request: Request, run: Run = "", sample: Sample = False, seed: Seed = None, given: Given = ""
    ) -> Response:
        chosen = random_seed() if seed is None else seed
        endpoint, examples, outputs = await _infer_body(
            service, request, run, "encode", given, sample=sample, seed=chosen
        )
        drawn = {"seed": chosen} if sample else {}
        return _json(endpoint.served, _entries(outputs), **drawn, notes=examples.notes)

    responses = returns("An image, or rows.", PNG | json_content(RunResponse[ReconstructedExample])) | READING

    @router.post("/reconstruct", responses=responses, openapi_extra=EXAMPLES_BODY, summary="Reconstruct examples")
    async def reconstruct(request: Request, run: Run = "", given: Given = "") -> Response:
        endpoint, examples, outputs = await _infer_body(service, request, run, "reconstruct", given)
        served, values = endpoint.served, outputs["reconstruction"]
        if served.schema.has_pictures and not _accepts_json(request):
            return await _png(service, values, as_tiles=False)
        reconstructions = [{"reconstruction": value} for value in examples_as_json(served, values)]
        return _json(served, reconstructions, notes=examples.notes)

    about = "The ELBO of each example in nats, with its standard error over draws."
    responses = returns(about, json_content(ScoreResponse)) | READING

    @router.post("/score", responses=responses, openapi_extra=EXAMPLES_BODY, summary="Compute ELBO, rate, distortion")
    async def score(
        request: Request, run: Run = "", seed: Seed = None, num_draws: Draws = 16, given: Given = ""
    ) -> Response:
        options = {"num_draws": num_draws, "seed": random_seed() if seed is None else seed}
        endpoint, examples, outputs = await _infer_body(service, request, run, "score", given, **options)
        about = {"unit": "nats", "convention": endpoint.served.trained.convention, **options}
        return _json(endpoint.served, _entries(outputs), **about, notes=examples.notes)


def _add_generation(router: APIRouter, service: Service) -> None:
    images = returns("Tiles, row by row.", PNG, {SEED_HEADER: "The seed of the draws."}) | WRITING
    generated = returns("Generated examples.", json_content(RunResponse[GeneratedExample])) | WRITING
    decoded = returns("The decoded points.", json_content(RunResponse[DecodedExample])) | WRITING

    @router.get("/generate.png", responses=images, response_class=Response, summary="Generate images")
    async def generate_png(
        request: Request,
        run: Run = "",
        num: Num = 16,
        seed: Seed = None,
        temperature: Temperature = 1.0,
        given: Given = "",
    ) -> Response:
        _check_images(service, service.run(run), num, "generate")
        chosen = random_seed() if seed is None else seed
        _, outputs = await _generate(service, request, run, num, chosen, temperature, given)
        return await _png(service, outputs["mean"], {SEED_HEADER: str(chosen)})

    @router.get("/generate", responses=generated, response_class=Response, summary="Generate examples as JSON")
    async def generate(
        request: Request,
        run: Run = "",
        num: Num = 16,
        seed: Seed = None,
        temperature: Temperature = 1.0,
        given: Given = "",
    ) -> Response:
        _check_response(service, service.run(run), num, JSON_BYTES_PER_NUMBER)
        chosen = random_seed() if seed is None else seed
        served, outputs = await _generate(service, request, run, num, chosen, temperature, given)
        pairs = zip(examples_as_json(served, outputs["mean"]), outputs["z"].tolist(), strict=True)
        return _json(served, [{"mean": mean, "z": z} for mean, z in pairs], seed=chosen)

    @router.get("/decode.png", responses=images, response_class=Response, summary="Decode latents to images")
    async def decode_png(request: Request, z: Points, run: Run = "", given: Given = "") -> Response:
        _check_images(service, service.run(run), len(z), "decode")
        _, outputs = await _decode(service, request, run, z, given)
        return await _png(service, outputs["mean"])

    @router.get("/decode", responses=decoded, response_class=Response, summary="Decode latents to JSON")
    async def decode(request: Request, z: Points, run: Run = "", given: Given = "") -> Response:
        _check_response(service, service.run(run), len(z), JSON_BYTES_PER_NUMBER)
        served, outputs = await _decode(service, request, run, z, given)
        return _json(served, [{"mean": mean} for mean in examples_as_json(served, outputs["mean"])])


async def _infer_body(
    service: Service, request: Request, run: str, operation: str, given: str, **options: Any
) -> tuple[Endpoint, InputExamples, Outputs]:
    """An operation on the examples in a request's body."""
    endpoint, values = service.operation(run, operation), values_given(given)
    with body_within(service.budget, request) as body:
        with service.batcher.arriving():
            received = await body.read(service.limits)
            if is_image(endpoint.served, received):
                examples = await read_image(service, endpoint.served, received, values)
            else:
                examples = await service.in_thread(read_examples, endpoint.served, received, service.limits, values)
        inference = InferenceRequest(
            num_examples=len(examples.x), x=examples.x, range=examples.range, context=examples.context, **options
        )
        return endpoint, examples, await service.infer(request, endpoint, inference)


async def _generate(
    service: Service, request: Request, run: str, num: int, seed: int, temperature: float, given: str
) -> tuple[ServedModel, Outputs]:
    endpoint = service.operation(run, "generate")
    check_num_examples(num, service.limits.max_batch)
    context = context_given(endpoint.served, given, num, in_turn=True)
    inference = InferenceRequest(num_examples=num, seed=seed, temperature=temperature, context=context)
    return endpoint.served, await service.infer(request, endpoint, inference)


async def _decode(
    service: Service, request: Request, run: str, points: Sequence[str], given: str
) -> tuple[ServedModel, Outputs]:
    endpoint = service.operation(run, "decode")
    check_num_examples(len(points), service.limits.max_batch)
    z = np.array([_point(text, endpoint.served.model.latent_dim) for text in points], np.float32)
    check_latents(endpoint.served.model, z)
    context = context_given(endpoint.served, given, len(z))
    return endpoint.served, await service.infer(
        request, endpoint, InferenceRequest(num_examples=len(z), x=z, context=context)
    )


def _check_response(service: Service, served: ServedModel, num_examples: int, bytes_per_number: int) -> None:
    num_numbers = num_examples * math.prod(served.model.event_shape)
    check_response_length(num_numbers, bytes_per_number, service.limits.max_body)


def _point(text: str, latent_dim: int) -> list[float]:
    try:
        point = [float(number) for number in text.split(",")]
    except ValueError:
        point = []
    if len(point) != latent_dim:
        accepted = f"{pluralise(latent_dim, 'number')}, separated by commas, one for each latent"
        raise RequestError(400, f"z is {text[:60]!r}; accepted: {accepted}.")
    return point


def _check_images(service: Service, served: ServedModel, number: int, endpoint: str) -> None:
    if not served.schema.has_pictures:
        raise RequestError(400, f"examples of {served.name} are not images; use /{endpoint}.")
    _check_response(service, served, number, FLOAT_BYTES)


def _accepts_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "image/" not in accepted


def _entries(outputs: Outputs) -> list[dict[str, Any]]:
    """One entry per example, with its part of each output."""
    columns = {name: value.tolist() for name, value in outputs.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json(served: ServedModel, examples: list[Any], **about: Any) -> Response:
    body = {"model": served.name, "version": served.version, **about, "examples": examples}
    return Response(as_json(body) + b"\n", media_type="application/json")


async def _png(
    service: Service, images: np.ndarray, headers: dict[str, str] | None = None, as_tiles: bool = True
) -> Response:
    body = await service.in_thread(examples_as_png, images, as_tiles)
    return Response(body, media_type="image/png", headers=headers)
