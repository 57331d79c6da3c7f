"""Damage to the files of a run: to their bytes, and to what they say while their checksums hold."""

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file

from lowerbound.foundation.run_identity import CONFIG, digest, sealed
from lowerbound.foundation.storage import read_toml, save_tensors, write_json, write_toml
from lowerbound.runs.run_log import LOG, RunLog

Stream = np.random.Generator
FILES = (
    CONFIG,
    LOG,
    "results.json",
    "results.safetensors",
    "calibration.safetensors",
    "model.safetensors",
    "checkpoints/step-000000010.safetensors",
)
VALUES = (None, True, -1, 0, 7, 2**70, 0.5, 1e308, "", "x", [], ["x"], [1], {}, {"x": 1})
"""What a key may be retyped to."""


def _truncated(path: Path, stream: Stream) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: stream.integers(len(content))])


def _flipped(path: Path, stream: Stream) -> None:
    content = bytearray(path.read_bytes())
    # Half of the time near the beginning, where headers are.
    end = len(content) if stream.random() < 0.5 else min(2000, len(content))
    for _ in range(stream.integers(1, 4)):
        content[stream.integers(end)] ^= 1 << stream.integers(8)
    path.write_bytes(content)


def _without_line(path: Path, stream: Stream) -> None:
    lines = path.read_bytes().split(b"\n")
    del lines[stream.integers(len(lines))]
    path.write_bytes(b"\n".join(lines))


def _empty(path: Path, stream: Stream) -> None:
    path.write_bytes(b"")


def _with_nul(path: Path, stream: Stream) -> None:
    content, at = path.read_bytes(), stream.integers(path.stat().st_size)
    path.write_bytes(content[:at] + b"\0" * stream.integers(1, 9) + content[at:])


def _recoded(path: Path, stream: Stream) -> None:
    encoding = ("utf-16", "utf-8-sig", "utf-32")[stream.integers(3)]
    path.write_bytes(path.read_bytes().decode("latin-1").encode(encoding))


def _nested(path: Path, stream: Stream) -> None:
    path.write_bytes(b'{"a": ' * 100_000)


def _exchanged(path: Path, stream: Stream) -> None:
    """Another file of the same run in its place, with checksum and mark of its own."""
    run = path.parent.parent if path.parent.name == "checkpoints" else path.parent
    others = [run / name for name in FILES if (run / name).is_file() and (run / name) != path]
    path.write_bytes(others[stream.integers(len(others))].read_bytes())


def _resealed(path: Path, stream: Stream) -> None:
    """A key is deleted, renamed, added or of another type, and every checksum is that of the new content."""
    if path.suffix == ".toml":
        config = _without_none(_mutated(read_toml(path), stream))
        write_toml(path, sealed(config) if isinstance(config.get("run"), dict) else config)
    elif path.suffix == ".jsonl":
        records = [json.loads(line) for line in path.read_text().splitlines()]
        position = stream.integers(len(records))
        records[position] = _mutated(records[position], stream)
        kept = [{key: value for key, value in record.items() if key != "checksum"} for record in records]
        RunLog(path.parent).rewrite(kept)
    elif path.suffix == ".json":
        write_json(path, _with_checksum(_mutated(json.loads(path.read_text()), stream)))
    else:
        _resealed_tensors(path, stream)


def _resealed_tensors(path: Path, stream: Stream) -> None:
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        metadata = json.loads(file.metadata()["metadata"])
    # Arrays behind figures have no checks beside their checksum.
    if stream.random() < 0.7 or path.name == "results.safetensors":
        metadata = _mutated(metadata, stream)
        if isinstance(metadata.get("results"), dict):
            metadata["results"] = _with_checksum(metadata["results"])
    else:
        name = sorted(tensors)[stream.integers(len(tensors))]
        taken = tensors.pop(name)
        if (choice := stream.integers(3)) < 2 and taken.numel():
            tensors[name if choice else f"{name}x"] = taken.reshape(-1)[: max(1, taken.numel() // 2)]
    path.unlink()
    save_tensors(path, tensors, metadata)


def _mutated(content: dict[str, Any], stream: Stream) -> dict[str, Any]:
    """A copy with one key somewhere changed."""
    copy = json.loads(json.dumps(content, default=str))
    places = list(_places(copy))
    parent, key = places[stream.integers(len(places))]
    change = stream.integers(4)
    if change == 0:
        del parent[key]
    elif change == 1 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif change == 2 and isinstance(parent, dict):
        parent["unknown"] = 1
    else:
        parent[key] = VALUES[stream.integers(len(VALUES))]
    return dict(copy)


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container within some content with each of its keys or positions."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(items):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in content.items() if key != "checksum"}
    return {**kept, "checksum": digest(kept)}


def _without_none(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_none(value) for key, value in content.items() if value is not None}
    return [_without_none(value) for value in content if value is not None] if isinstance(content, list) else content


def _header_mutated(path: Path, stream: Stream) -> None:
    """A key in the JSON header of a safetensors file; other files are truncated."""
    content = path.read_bytes()
    if path.suffix != ".safetensors":
        _truncated(path, stream)
        return
    length = struct.unpack("<Q", content[:8])[0]
    header = json.dumps(_mutated(json.loads(content[8 : 8 + length]), stream)).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])


KINDS: dict[str, Callable[[Path, Stream], None]] = {
    "truncated": _truncated,
    "bits flipped": _flipped,
    "line deleted": _without_line,
    "empty": _empty,
    "NUL bytes": _with_nul,
    "another encoding": _recoded,
    "deeply nested": _nested,
    "another file of the run": _exchanged,
    "key in the header": _header_mutated,
    "key, resealed": _resealed,
}
"""Ways to damage a file in place; the stream decides where and how."""
