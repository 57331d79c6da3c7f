"""Safetensors files with checksums, metadata and format versions, written atomically."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.storage import FORMAT_VERSION, check_format_version, write_atomically
from lowerbound.foundation.text import LONE_SURROGATES, one_line, readable


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON metadata to one safetensors file, atomically, with a checksum over both."""
    contiguous = _unshared(tensors)
    header = {"format_version": str(FORMAT_VERSION), "metadata": json.dumps(dict(metadata), sort_keys=True)}
    header["checksum"] = _checksum(contiguous, header["metadata"])
    write_atomically(path, lambda temporary: _save(temporary, contiguous, header))


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, each with memory of its own: the format has no tied weights."""
    found: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, tensor in tensors.items():
        found[name] = tensor.detach().cpu().contiguous()
        if (place := found[name].untyped_storage().data_ptr()) in stored:
            found[name] = found[name].clone()
        stored.add(place)
    return found


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; RunError if it is missing, damaged or newer than this version."""
    with _opened(path) as file:
        header = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    _check_version(path, header)
    if header.get("checksum") != _checksum(tensors, header.get("metadata", "")):
        raise RunError(f"{path} is damaged (its checksum does not match its content).")
    return tensors, json.loads(header["metadata"])


def stated_checksum(path: Path) -> str:
    """The checksum in the header of a file of `save_tensors`, which `load_tensors` verifies against the content."""
    return str(_header(path).get("checksum", ""))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a file of `save_tensors`, unverified: the tensors are not read."""
    header = _header(path)
    _check_version(path, header)
    try:
        return dict(json.loads(header["metadata"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is damaged (its metadata cannot be read).") from error


def _header(path: Path) -> dict[str, str]:
    with _opened(path) as file:
        return dict(file.metadata() or {})


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A safetensors file, open for reading; RunError if it is missing or damaged."""
    if not path.is_file():
        raise RunError(f"{path} does not exist.")
    check_is_utf8(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({one_line(str(error), 200)}).") from error


def _check_version(path: Path, header: Mapping[str, str]) -> None:
    version = header.get("format_version", "")
    check_format_version(path, int(version) if re.fullmatch("[0-9]{1,9}", version) else None)


def check_is_utf8(path: Path) -> None:
    """UsageError for a path that is not UTF-8, which safetensors cannot open."""
    if LONE_SURROGATES.search(str(path)):
        raise UsageError(f"{readable(str(path))} is not UTF-8, which the path of a run must be; choose another name.")


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whose bytes are reproducible: the library writes its metadata in random order."""
    # Not save_file, whose own temporary file would stay behind if the process is killed.
    content = save(dict(tensors), metadata=metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    ordered = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # The same keys and values in another order, padded with spaces, which the format allows.
    assert len(ordered) <= length
    with path.open("wb") as file:
        file.write(content[:8])
        file.write(ordered.ljust(length))
        file.write(memoryview(content)[8 + length :])


def _checksum(tensors: Mapping[str, Tensor], metadata: str) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
