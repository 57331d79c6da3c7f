"""What a request brings, bounded and checked; HTTPException says what came and what is accepted."""

import asyncio
import json
from collections.abc import Collection
from typing import Any

import numpy as np
from jaxtyping import Float32
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lowerbound.serving.http.validation import FORM, NO_FORM, check_name

MAX_DECODED = 4096
MAX_IMAGES = 256
MAX_JSON_BYTES = 2**20
MAX_BODY_SECONDS = 30


async def body_of(request: Request, most: int) -> bytes:
    """A request's body; refused as soon as it is seen to be longer than `most` bytes."""
    refusal = HTTPException(413, f"the body is longer than {most:,} bytes, which is the most that is accepted here.")
    if request.headers.get("content-type", "").startswith(FORM):
        raise HTTPException(415, NO_FORM)
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > most:
        raise refusal
    content = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            async for part in request.stream():
                content += part
                if len(content) > most:
                    raise refusal
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {MAX_BODY_SECONDS} s to arrive.") from None
    return bytes(content)


async def json_of(request: Request, fields: Collection[str]) -> dict[str, Any]:
    """A JSON object with no other than these fields; UsageError for one with others."""
    try:
        value = json.loads(await body_of(request, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "the body is not JSON; an object is accepted.") from error
    if not isinstance(value, dict):
        raise HTTPException(400, f"the body is a JSON {type(value).__name__}; an object is accepted.")
    for name in value:
        check_name("field", name, fields, "this endpoint")
    return value


def latents_of(content: bytes, latent_dim: int) -> Float32[np.ndarray, "n latent"]:
    """Rows of float32 numbers, little-endian."""
    size = 4 * latent_dim
    if not content or len(content) % size:
        raise HTTPException(
            400,
            f"the body has {len(content):,} bytes; accepted are 1 to {MAX_DECODED:,} points of {latent_dim} "
            f"little-endian float32 numbers, {size} bytes each.",
        )
    # A copy: torch must not share memory that cannot be written.
    z = np.frombuffer(content, "<f4").reshape(-1, latent_dim).astype(np.float32)
    if not np.isfinite(z).all():
        raise HTTPException(400, "a latent is NaN or infinite; finite numbers are accepted.")
    return z


def point_of(value: Any, latent_dim: int) -> Float32[np.ndarray, " latent"]:
    """One point in z from a JSON list."""
    is_list = isinstance(value, list) and len(value) == latent_dim
    if not is_list or not all(_is_number(number) and abs(number) < 1e30 for number in value):
        raise HTTPException(400, f'"z" needs a list of {latent_dim} finite number(s).')
    return np.array(value, np.float32)


def indices_of(text: str) -> list[int]:
    """Numbers of examples, separated by commas."""
    words = text.split(",") if text else []
    if not 1 <= len(words) <= MAX_IMAGES:
        raise HTTPException(400, f"indices names {len(words):,} examples; accepted are 1 to {MAX_IMAGES}, as in 1,2,3.")
    return [whole("an index", word) for word in words]


def whole(name: str, text: str) -> int:
    """A whole number from 0 upwards."""
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise HTTPException(400, f"{name} is {text[:40]!r}; a whole number from 0 upwards is accepted.")
    return int(text)


def whole_within(asked: dict[str, Any], name: str, usual: int, low: int, high: int) -> int:
    """A whole number of a JSON object, within bounds."""
    value = asked.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise HTTPException(400, f"{name} is {_shown(value)}; accepted are whole numbers from {low} to {high}.")
    return value


def number_within(asked: dict[str, Any], name: str, usual: float, low: float, high: float) -> float:
    """A number of a JSON object, within bounds."""
    value = asked.get(name, usual)
    if not _is_number(value) or not low <= value <= high:
        raise HTTPException(400, f"{name} is {_shown(value)}; accepted are numbers from {low:g} to {high:g}.")
    return float(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return json.dumps(value)[:40]
