"""The process that decodes image files: `python -m lowerbound.serving.image_process`, started by image_decoding.py.

Files arrive on standard input, their pixels leave on standard output, each as a line of JSON with the number of bytes
that follow, and these bytes. The process ends when its input ends. Its memory is limited where the system allows it.
"""

import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from lowerbound.data.images import ImageOptions, read_image_bytes
from lowerbound.data.raw_array import RawArray
from lowerbound.data.reading import Limit
from lowerbound.foundation.errors import DataError, TooLarge

READY = b"ready\n"
MIN_MEMORY = 2**28  # bytes beyond those in use; decoders are loaded when first needed


@dataclass(frozen=True)
class DecodingJob:
    """One image file to decode."""

    name: str  # for error messages
    content: bytes
    options: ImageOptions


def main() -> None:
    """Decode files until standard input ends."""
    # Output printed by a decoder must not mix with the pixels.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers.write(READY)
    answers.flush()
    while (line := sys.stdin.buffer.readline()) != b"":
        job = _read_job(line, sys.stdin.buffer)
        _bound_memory(MIN_MEMORY + 2 * job.options.limit.max_bytes + len(job.content))
        about, pixels = _decode(job)
        write(answers, about, pixels)


def write(stream: IO[bytes], about: dict[str, Any], content: bytes) -> None:
    """Write a line of JSON with the number of bytes, then the bytes."""
    stream.write(json.dumps({**about, "num_bytes": len(content)}).encode() + b"\n")
    stream.write(content)
    stream.flush()


def job_header(job: DecodingJob) -> dict[str, Any]:
    """The JSON that precedes a file's bytes."""
    options = job.options
    return {
        "name": job.name,
        "size": options.size,
        "resize": options.resize,
        "num_channels": options.num_channels,
        "max_bytes": options.limit.max_bytes,
    }


def _read_job(line: bytes, stream: IO[bytes]) -> DecodingJob:
    about = json.loads(line)
    options = ImageOptions(
        size=about["size"] and (about["size"][0], about["size"][1]),
        resize=about["resize"],
        num_channels=about["num_channels"],
        limit=Limit(about["max_bytes"], can_be_raised=False),
    )
    return DecodingJob(about["name"], stream.read(about["num_bytes"]), options)


def _decode(job: DecodingJob) -> tuple[dict[str, Any], bytes]:
    try:
        raw = read_image_bytes(job.name, job.content, job.options)
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


def raw_of(job: DecodingJob, about: dict[str, Any], pixels: bytes) -> RawArray:
    """The image as `read_image_bytes` returns it; DataError if that refused it."""
    if "error" in about:
        raise (TooLarge if about["is_too_large"] else DataError)(about["error"])
    resized_to = about["resized_to"]
    return RawArray(
        place=job.name,
        values=np.frombuffer(bytearray(pixels), about["dtype"]).reshape(about["shape"]),
        is_from_images=True,
        white=about["white"],
        notes=tuple(about["notes"]),
        resized_to=resized_to and (resized_to[0], resized_to[1]),
    )


def _bound_memory(num_bytes: int) -> None:
    """Limit this process to `num_bytes` more than it uses, where the system supports it."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            taken = int(file.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (taken + num_bytes, most))


if __name__ == "__main__":
    main()
