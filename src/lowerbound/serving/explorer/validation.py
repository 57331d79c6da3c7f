"""Validation of the explorer's requests: bodies, latents, indices and JSON fields; RequestError with the reason."""

from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from pydantic import Field
from starlette.requests import Request

from lowerbound.models.vae import VAE
from lowerbound.serving.http.bodies import read_chunks
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.http.json_bodies import StrictModel, parse_json, validate

MAX_DECODED = 4096
MAX_IMAGES = 256
MAX_SAMPLES = 256
MAX_TEMPERATURE = 5.0
MAX_SEED = 2**63 - 1
MAX_LATENT = 1e30
MAX_JSON_BYTES = 2**20
MAX_BODY_SECONDS = 30


class SampleRequest(StrictModel):
    """Draws from the prior."""

    num: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] = 64
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    temperature: Annotated[float, Field(ge=0.0, le=MAX_TEMPERATURE)] = 1.0
    given: Annotated[dict[str, str | float], Field(default_factory=dict)]  # values of conditions


class NeighboursRequest(StrictModel):
    """The examples nearest to a point in latent space."""

    z: list[Annotated[float, Field(ge=-MAX_LATENT, le=MAX_LATENT)]]


Body = TypeVar("Body", SampleRequest, NeighboursRequest)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """A request's body; RequestError as soon as it is known to be longer than `max_bytes`."""
    return b"".join(await read_chunks(request, max_bytes, MAX_BODY_SECONDS))


async def read_json(request: Request, model: type[Body]) -> Body:
    """A request's body as a JSON object with the fields of `model`."""
    value: Any = parse_json(await read_body(request, MAX_JSON_BYTES))
    return validate(model, value)


def latents_of(content: bytes, latent_dim: int) -> Float32[np.ndarray, "n latent"]:
    """Rows of little-endian float32 numbers."""
    size = 4 * latent_dim
    if not content or len(content) % size:
        raise RequestError(
            400,
            f"the body has {len(content):,} bytes; accepted: 1 to {MAX_DECODED:,} points of {latent_dim} "
            f"little-endian float32 numbers, {size} bytes each.",
        )
    # A copy, because torch must not share read-only memory.
    z = np.frombuffer(content, "<f4").reshape(-1, latent_dim).astype(np.float32)
    if not np.isfinite(z).all():
        raise RequestError(400, "a latent is NaN or infinite; finite numbers are accepted.")
    return z


def check_space(model: VAE, z: Float32[np.ndarray, "n latent"]) -> None:
    """Refuse latents that do not lie in the model's space."""
    if problem := model.space.problem(torch.from_numpy(z)):
        raise RequestError(400, f"z: {problem}.")


def point_of(request: NeighboursRequest, latent_dim: int) -> Float32[np.ndarray, " latent"]:
    """The point in latent space of a request."""
    if len(request.z) != latent_dim:
        raise RequestError(400, f"z has the length {len(request.z)}; accepted: a list of {latent_dim} numbers.")
    return np.array(request.z, np.float32)


def indices_of(text: str) -> list[int]:
    """Indices of examples, separated by commas."""
    words = text.split(",") if text else []
    if not 1 <= len(words) <= MAX_IMAGES:
        raise RequestError(400, f"indices lists {len(words):,} examples; accepted: 1 to {MAX_IMAGES}, as in 1,2,3.")
    return [whole_number("an index", word) for word in words]


def axes_of(text: str, latent_dim: int) -> tuple[int, int]:
    """Two different latents, separated by a comma."""
    words = text.split(",")
    axes = [whole_number("an axis", word) for word in words] if len(words) == 2 else []
    if len(set(axes)) != 2 or max(axes) >= latent_dim:
        raise RequestError(
            400, f"axes is {text[:40]!r}; accepted: two different latents from 0 to {latent_dim - 1}, as in 0,1."
        )
    return axes[0], axes[1]


def whole_number(name: str, text: str) -> int:
    """A non-negative integer."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise RequestError(400, f"{name} is {text[:40]!r}; accepted: an integer from 0.")
    return int(text)
