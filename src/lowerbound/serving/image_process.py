"""The process that decodes image files: `python -m lowerbound.serving.image_process`, which decoding.py starts.

One file after the other comes on standard input and goes as pixels to standard output: a line of JSON, which says how
many bytes follow, and these. It ends with its input. How much memory it may take is bounded where the system can.
"""

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from lowerbound.data.examples import RawArray
from lowerbound.data.images import ImageOptions, read_image_bytes
from lowerbound.data.reading import Limit
from lowerbound.foundation.errors import DataError, TooLarge

READY = b"ready\n"
LEAST_MEMORY = 2**28  # bytes beyond what the process has: decoders are loaded when they are first needed


@dataclass(frozen=True)
class Asked:
    """One image file that is to be decoded."""

    name: str  # by which messages call it
    content: bytes
    options: ImageOptions


def main() -> None:
    """Decode what comes until nothing does."""
    # Whatever a decoder prints must not be among the pixels.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(READY)
    answers.flush()
    while (line := sys.stdin.buffer.readline()) != b"":
        asked = _asked(line, sys.stdin.buffer)
        _bound_memory(LEAST_MEMORY + 2 * asked.options.limit.max_bytes + len(asked.content))
        about, pixels = _answer(asked)
        write(answers, about, pixels)


def write(stream: IO[bytes], about: dict[str, Any], content: bytes) -> None:
    """A line of JSON and the bytes that it tells of."""
    stream.write(json.dumps({**about, "num_bytes": len(content)}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def as_sent(asked: Asked) -> dict[str, Any]:
    """What a process is told of a file, beside its bytes."""
    options = asked.options
    return {
        "name": asked.name,
        "size": options.size,
        "resize": options.resize,
        "num_channels": options.num_channels,
        "max_bytes": options.limit.max_bytes,
    }


def _asked(line: bytes, stream: IO[bytes]) -> Asked:
    about = json.loads(line)
    options = ImageOptions(
        size=about["size"] and (about["size"][0], about["size"][1]),
        resize=about["resize"],
        num_channels=about["num_channels"],
        limit=Limit(about["max_bytes"], can_be_raised=False),
    )
    return Asked(about["name"], stream.read(about["num_bytes"]), options)


def _answer(asked: Asked) -> tuple[dict[str, Any], bytes]:
    try:
        raw = read_image_bytes(asked.name, asked.content, asked.options)
    except DataError as error:
        return {"error": str(error), "is_too_large": isinstance(error, TooLarge)}, b""
    values = np.ascontiguousarray(raw.values)
    about = {
        "dtype": values.dtype.str,
        "shape": values.shape,
        "white": raw.white,
        "notes": raw.notes,
        "resized_to": raw.resized_to,
    }
    return about, values.tobytes()


def raw_of(asked: Asked, about: dict[str, Any], pixels: bytes) -> RawArray:
    """The image as `read_image_bytes` gives it; DataError for what it refused."""
    if "error" in about:
        raise (TooLarge if about["is_too_large"] else DataError)(about["error"])
    resized_to = about["resized_to"]
    return RawArray(
        place=asked.name,
        values=np.frombuffer(bytearray(pixels), about["dtype"]).reshape(about["shape"]),
        is_from_images=True,
        white=about["white"],
        notes=tuple(about["notes"]),
        resized_to=resized_to and (resized_to[0], resized_to[1]),
    )


def _bound_memory(num_bytes: int) -> None:
    """Refuse this process more than it has and so many bytes; as far as the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            taken = int(file.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + num_bytes, most))


if __name__ == "__main__":
    main()
