"""Endpoints for people: a file as the body and a picture or JSON as the answer; no protocol to learn."""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response

from lowerbound.serving.service import openapi as described
from lowerbound.serving.service.fields import MAX_SEED, MAX_TEMPERATURE, NUM_DRAWS, as_json
from lowerbound.serving.service.formats import is_image, picture, read_examples, read_image, written
from lowerbound.serving.service.limits import (
    JSON_BYTES_FOR_A_NUMBER,
    RequestError,
    check_answer_length,
    check_num_examples,
    holding,
)
from lowerbound.serving.service.models import Endpoint, ServedModel
from lowerbound.serving.service.openapi import WITH_BODY, errors, of_a_run
from lowerbound.serving.service.operations import Answer, InferenceRequest
from lowerbound.serving.service.protocol import chosen_seed
from lowerbound.serving.service.service import Service
from lowerbound.serving.service.validation import Sent, check_codes

SEED_HEADER = "Lowerbound-Seed"
MAX_TILES = 256
FLOAT_BYTES = 4

Run = Annotated[str, Query(alias="model", description="The run, by its name; not needed where there is only one.")]
Seed = Annotated[int | None, Query(ge=0, le=MAX_SEED, description="Of what is drawn; chosen, and told, if not given.")]
Sample = Annotated[bool, Query(description="A draw z from the posterior, too.")]
Draws = Annotated[int, Query(ge=NUM_DRAWS[0], le=NUM_DRAWS[1], description="From the posterior for each example.")]
Num = Annotated[int, Query(ge=1, le=MAX_TILES, description="How many examples.")]
Temperature = Annotated[
    float, Query(ge=0, le=MAX_TEMPERATURE, allow_inf_nan=False, description="Scales the prior's standard deviation.")
]
Codes = Annotated[
    list[str], Query(alias="z", description="A latent point as numbers with commas between; repeat it for several.")
]

A_FILE = {
    "requestBody": {
        "required": True,
        "description": "An image file as it is, or JSON: a list of rows, or of arrays of stored numbers.",
        "content": described.content(
            image__png=described.BINARY,
            image__jpeg=described.BINARY,
            application__octet_stream=described.BINARY,
            application__json=described.a_list(described.ANYTHING, 1),
        ),
    }
}
A_PICTURE = described.content(image__png=described.BINARY)
NUMBERS = described.a_list(described.NUMBER_OR_NOT)
EXAMPLE = {"description": "A list of numbers, or a row of cells by their names."}


def plain_routes(service: Service) -> APIRouter:
    """Every endpoint for people."""
    router = APIRouter(tags=["For people"])
    _add_questions(router, service)
    _add_pictures(router, service)
    return router


def _add_questions(router: APIRouter, service: Service) -> None:
    encoded = described.content(application__json=of_a_run(mean=NUMBERS))
    answers = described.returns("The posterior of every example.", encoded) | errors(404, 422, 504, *WITH_BODY)

    @router.post("/encode", responses=answers, openapi_extra=A_FILE, summary="The posterior of an image or of rows")
    async def encode(request: Request, run: Run = "", sample: Sample = False, seed: Seed = None) -> Response:
        chosen = chosen_seed() if seed is None else seed
        offer, sent, answer = await _ask_about_body(service, request, run, "encode", sample=sample, seed=chosen)
        return _json(offer.served, _entries(answer), **({"seed": chosen} if sample else {}), notes=sent.notes)

    forms = A_PICTURE | described.content(application__json=of_a_run(reconstruction=EXAMPLE))
    answers = described.returns("An image, or rows.", forms) | errors(404, 422, 504, *WITH_BODY)

    @router.post("/reconstruct", responses=answers, openapi_extra=A_FILE, summary="What is left after the bottleneck")
    async def reconstruct(request: Request, run: Run = "") -> Response:
        offer, sent, answer = await _ask_about_body(service, request, run, "reconstruct")
        examples = answer["reconstruction"]
        if offer.served.schema.has_pictures and not _wants_json(request):
            return await _png(service, examples, as_tiles=False)
        reconstructions = [{"reconstruction": example} for example in written(offer.served, examples)]
        return _json(offer.served, reconstructions, notes=sent.notes)

    scores = dict.fromkeys(("elbo", "rate", "distortion", "standard_error"), described.NUMBER_OR_NOT)
    answers = described.returns(
        "In nats, with the standard error that the draws leave in the ELBO.",
        described.content(application__json=of_a_run(**scores)),
    ) | errors(404, 422, 504, *WITH_BODY)

    @router.post("/score", responses=answers, openapi_extra=A_FILE, summary="The ELBO, as rate and distortion")
    async def score(request: Request, run: Run = "", seed: Seed = None, num_draws: Draws = 16) -> Response:
        chosen = chosen_seed() if seed is None else seed
        offer, sent, answer = await _ask_about_body(service, request, run, "score", num_draws=num_draws, seed=chosen)
        about = {"unit": "nats", "convention": offer.served.trained.convention, "num_draws": num_draws, "seed": chosen}
        return _json(offer.served, _entries(answer), **about, notes=sent.notes)


def _add_pictures(router: APIRouter, service: Service) -> None:
    told = {SEED_HEADER: "The seed of what was drawn."}
    pictures = described.returns("Tiles, row by row.", A_PICTURE, told) | errors(404, 413, 422, 504)
    rows = described.returns(
        "New examples.", described.content(application__json=of_a_run(mean=EXAMPLE, z=NUMBERS))
    ) | errors(404, 413, 422, 504)
    means = described.returns(
        "What each point decodes to.", described.content(application__json=of_a_run(mean=EXAMPLE))
    ) | errors(404, 413, 422, 504)

    @router.get("/generate.png", responses=pictures, response_class=Response, summary="New images")
    async def generate_png(
        request: Request, run: Run = "", num: Num = 16, seed: Seed = None, temperature: Temperature = 1.0
    ) -> Response:
        _need_pictures(service, service.run(run), num, "generate")
        chosen = chosen_seed() if seed is None else seed
        _, answer = await _generated(service, request, run, num, chosen, temperature)
        return await _png(service, answer["mean"], {SEED_HEADER: str(chosen)})

    @router.get("/generate", responses=rows, response_class=Response, summary="New examples as numbers")
    async def generate(
        request: Request, run: Run = "", num: Num = 16, seed: Seed = None, temperature: Temperature = 1.0
    ) -> Response:
        _check_answer(service, service.run(run), num, JSON_BYTES_FOR_A_NUMBER)
        chosen = chosen_seed() if seed is None else seed
        served, answer = await _generated(service, request, run, num, chosen, temperature)
        pairs = zip(written(served, answer["mean"]), answer["z"].tolist(), strict=True)
        return _json(served, [{"mean": mean, "z": z} for mean, z in pairs], seed=chosen)

    @router.get("/decode.png", responses=pictures, response_class=Response, summary="Images of latent points")
    async def decode_png(request: Request, z: Codes, run: Run = "") -> Response:
        _need_pictures(service, service.run(run), len(z), "decode")
        _, answer = await _decoded(service, request, run, z)
        return await _png(service, answer["mean"])

    @router.get("/decode", responses=means, response_class=Response, summary="Latent points, decoded, as numbers")
    async def decode(request: Request, z: Codes, run: Run = "") -> Response:
        _check_answer(service, service.run(run), len(z), JSON_BYTES_FOR_A_NUMBER)
        served, answer = await _decoded(service, request, run, z)
        return _json(served, [{"mean": mean} for mean in written(served, answer["mean"])])


async def _ask_about_body(
    service: Service, request: Request, run: str, operation: str, **options: Any
) -> tuple[Endpoint, Sent, Answer]:
    offer = service.operation(run, operation)
    with holding(service.hold, request) as body:
        with service.batcher.arriving():
            content = await body.read(service.limits)
            if is_image(offer.served, content):
                sent = await read_image(service, offer.served, content)
            else:
                sent = await service.apart(read_examples, offer.served, content, service.limits)
        question = InferenceRequest(num_examples=len(sent.x), x=sent.x, range=sent.range, **options)
        return offer, sent, await service.answer(request, offer, question)


async def _generated(
    service: Service, request: Request, run: str, num: int, seed: int, temperature: float
) -> tuple[ServedModel, Answer]:
    offer = service.operation(run, "generate")
    check_num_examples(num, service.limits.max_batch)
    question = InferenceRequest(num_examples=num, seed=seed, temperature=temperature)
    return offer.served, await service.answer(request, offer, question)


async def _decoded(service: Service, request: Request, run: str, codes: Sequence[str]) -> tuple[ServedModel, Answer]:
    offer = service.operation(run, "decode")
    check_num_examples(len(codes), service.limits.max_batch)
    z = np.array([_code(text, offer.served.model.latent_dim) for text in codes], np.float32)
    check_codes(z)
    return offer.served, await service.answer(request, offer, InferenceRequest(num_examples=len(z), x=z))


def _check_answer(service: Service, served: ServedModel, num_examples: int, bytes_for_a_number: int) -> None:
    num_numbers = num_examples * math.prod(served.model.event_shape)
    check_answer_length(num_numbers, bytes_for_a_number, service.limits.max_body)


def _code(text: str, latent_dim: int) -> list[float]:
    try:
        code = [float(number) for number in text.split(",")]
    except ValueError:
        code = []
    if len(code) != latent_dim:
        raise RequestError(400, f"z is {text[:60]!r}; it needs {latent_dim} numbers with commas between, as 0.5,-1.")
    return code


def _need_pictures(service: Service, served: ServedModel, number: int, endpoint: str) -> None:
    if not served.schema.has_pictures:
        raise RequestError(400, f"examples of {served.name} cannot be shown as pictures; use /{endpoint}.")
    _check_answer(service, served, number, FLOAT_BYTES)


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "image/" not in accepted


def _entries(answer: Answer) -> list[dict[str, Any]]:
    """One entry for each example, with what each tensor has of it."""
    columns = {name: value.tolist() for name, value in answer.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json(served: ServedModel, examples: list[Any], **about: Any) -> Response:
    content = {"model": served.name, "version": served.version, **about, "examples": examples}
    return Response(as_json(content) + b"\n", media_type="application/json")


async def _png(
    service: Service, images: np.ndarray, headers: dict[str, str] | None = None, as_tiles: bool = True
) -> Response:
    return Response(await service.apart(picture, images, as_tiles), media_type="image/png", headers=headers)
