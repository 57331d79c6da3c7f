"""Exported networks in the user's cache folder, each under the checksum of the model that it belongs to."""

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from lowerbound.foundation.errors import LowerboundError
from lowerbound.foundation.run_identity import RunPath, path_of
from lowerbound.foundation.storage import cache_folder
from lowerbound.foundation.tensor_files import load_tensors, save_tensors
from lowerbound.training.checkpoint import model_checksum

VERSION = 1
"""Version of the exported networks; raised when another export of the same weights is needed."""

MOST_FILES = 64  # those that were not used for the longest time are removed
CONTENT = "onnx"


def cached_file(run: RunPath, name: str) -> Path:
    """The file of a run's network, "encoder" or "decoder", whether it exists or not."""
    return cache_folder() / "networks" / f"{model_checksum(path_of(run))}-{name}-{VERSION}.safetensors"


def read_network(file: Path) -> bytes | None:
    """The ONNX model in a file; None if it is missing, damaged or of another version."""
    try:
        content = load_tensors(file)[0][CONTENT].numpy().tobytes()
    except (LowerboundError, OSError, KeyError):
        return None
    with suppress(OSError):
        os.utime(file)
    return content


def write_network(file: Path, content: bytes) -> None:
    """Keep an ONNX model, atomically, where the folder can be written to."""
    with suppress(LowerboundError, OSError):
        save_tensors(file, {CONTENT: torch.from_numpy(np.frombuffer(content, np.uint8).copy())}, {})
        newest_first = sorted(file.parent.glob("*.safetensors"), key=lambda path: -path.stat().st_mtime)
        for path in newest_first[MOST_FILES:]:
            path.unlink(missing_ok=True)
