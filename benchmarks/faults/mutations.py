"""Ways to damage a file, as disks, transfers, editors and other versions do."""

import json
import random
import struct
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

MOST_EDITS = 60  # of the keys of one file
STRANGE: tuple[Any, ...] = (None, True, -1, 10**400, "text", [], {}, [[]], 0.5, float("nan"))
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Damage:
    """A damage to one file; None removes it."""

    name: str  # the class
    about: str  # how to do it again
    content: bytes | None


def damages(name: str, content: bytes, other: bytes | None, bits: random.Random) -> Iterator[Damage]:
    """All damages for a file of its kind; `other` is the same file of another run."""
    yield Damage("deleted", "", None)
    yield Damage("empty", "", b"")
    yield Damage("zeros", "", bytes(len(content)))
    yield Damage("doubled", "", content * 2)
    yield Damage("more behind", "", content + b"\0garbage")
    yield Damage("more before", "", b"\xef\xbb\xbf" + content)
    if other is not None and other != content:
        yield Damage("swapped", "", other)
    for length in {len(content) - 1, len(content) // 2, *(bits.randrange(len(content)) for _ in range(6))}:
        yield Damage("cut short", f"to {length} bytes", content[:length])
    if Path(name).suffix in (".toml", ".jsonl", ".json"):
        yield from _cut_between_lines(content, bits)
    for _ in range(10):
        yield _flipped(content, bits)
    for _ in range(4):
        yield _blanked(content, bits)
    edits = EDITS.get(Path(name).suffix)
    if edits is not None:
        yield from edits(content, bits)


def _cut_between_lines(content: bytes, bits: random.Random) -> Iterator[Damage]:
    lines = content.splitlines(keepends=True)
    for count in sorted(bits.sample(range(1, len(lines)), min(8, len(lines) - 1))):
        yield Damage("cut at a line", f"to {count} lines", b"".join(lines[:count]))
    index = bits.randrange(len(lines))
    yield Damage("line lost", f"line {index}", b"".join(lines[:index] + lines[index + 1 :]))
    yield Damage("line doubled", f"line {index}", b"".join([*lines[: index + 1], *lines[index:]]))


def _flipped(content: bytes, bits: random.Random) -> Damage:
    # Half of them at the front, where headers are.
    end = min(len(content), 200) if bits.random() < 0.5 else len(content)
    at, bit = bits.randrange(end), bits.randrange(8)
    changed = bytes([content[at] ^ 1 << bit])
    return Damage("bit flipped", f"bit {bit} of byte {at}", content[:at] + changed + content[at + 1 :])


def _blanked(content: bytes, bits: random.Random) -> Damage:
    at, length = bits.randrange(len(content)), bits.choice((1, 16, 512, 4096))
    blank = bytes(min(length, len(content) - at))
    return Damage("zero block", f"{len(blank)} bytes from {at}", content[:at] + blank + content[at + len(blank) :])


def edited(value: Any, bits: random.Random, most: int = MOST_EDITS) -> Iterator[tuple[str, str, Any]]:
    """A JSON value with one key deleted, renamed, doubled in value or of another type: class, where, the new value."""
    paths = list(_paths(value))
    for path in bits.sample(paths, min(most, len(paths))):
        where = ".".join(map(str, path))
        copy, holder, key = _copied(value, path)
        old = holder.pop(key)
        yield "key deleted", where, copy
        if isinstance(key, str):
            copy, holder, key = _copied(value, path)
            holder[key + "_"] = holder.pop(key)
            yield "key renamed", where, copy
        copy, holder, key = _copied(value, path)
        strange = bits.choice([v for v in STRANGE if type(v) is not type(old)])
        holder[key] = strange
        yield "retyped", f"{where} = {str(strange)[:20]}", copy
        if isinstance(old, int | float | str) and not isinstance(old, bool):
            copy, holder, key = _copied(value, path)
            holder[key] = old + "x" if isinstance(old, str) else bits.choice((2 * old + 1, -old - 1, 0, 10**9))
            yield "value changed", f"{where} = {str(holder[key])[:20]}", copy


def _paths(value: Any, here: KeyPath = ()) -> Iterator[KeyPath]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*here, key)
        yield from _paths(inner, (*here, key))


def _copied(value: Any, path: KeyPath) -> tuple[Any, Any, Any]:
    """A deep copy, the container at the path's end in it, and the last key."""
    copy = json.loads(json.dumps(value))
    holder = copy
    for key in path[:-1]:
        holder = holder[key]
    return copy, holder, path[-1]


def _json_edits(content: bytes, bits: random.Random) -> Iterator[Damage]:
    value = json.loads(content)
    for kind, where, changed in edited(value, bits):
        yield Damage(kind, where, json.dumps(changed, indent=2).encode())
    for version in (1, 3, 10**6, "2", None):
        yield Damage("other version", str(version), json.dumps(value | {"format_version": version}).encode())
    for text in ("null", "[]", "{}", '"text"', "NaN", "[" * 100_000, '{"a":' * 50_000):
        yield Damage("other JSON", text[:12], text.encode())


def _lines_edits(content: bytes, bits: random.Random) -> Iterator[Damage]:
    records = [json.loads(line) for line in content.splitlines()]
    for kind, where, changed in edited(records, bits, 20):
        yield Damage(kind, where, b"".join(json.dumps(record).encode() + b"\n" for record in changed))
    for text in ("null", "[]", "{}", '"text"', "7", "[" * 100_000):
        yield Damage("other JSON", text[:12], content + text.encode() + b"\n")


def _toml_edits(content: bytes, bits: random.Random) -> Iterator[Damage]:
    value = tomllib.loads(content.decode())
    for kind, where, changed in edited(value, bits):
        try:
            yield Damage(kind, where, tomli_w.dumps(_without_none(changed)).encode())
        except TypeError:
            continue
    for version in (1, 3, 10**6, "2"):
        yield Damage("other version", str(version), tomli_w.dumps(value | {"format_version": version}).encode())
    for text in ("a = " + "[" * 50_000, "a" * 100_000, "[" + "a." * 20_000 + "b]", "\x00", "a = 1\na = 2"):
        yield Damage("other TOML", text[:12], text.encode())


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(v) for key, v in value.items() if v is not None}
    return [_without_none(v) for v in value if v is not None] if isinstance(value, list) else value


def _tensor_edits(content: bytes, bits: random.Random) -> Iterator[Damage]:
    """The header of a safetensors file, with offsets, types and metadata that do not fit what follows."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    for kind, where, changed in edited(header, bits, 20):
        yield Damage(f"header: {kind}", where, _with_header(changed, data))
    for size in (0, 2**31, 2**62, 2**64 - 1):
        yield Damage("header: length", str(size), struct.pack("<Q", size) + content[8:])


def _with_header(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


EDITS: dict[str, Callable[[bytes, random.Random], Iterator[Damage]]] = {
    ".json": _json_edits,
    ".jsonl": _lines_edits,
    ".toml": _toml_edits,
    ".safetensors": _tensor_edits,
}


def resaved(path: Path, bits: random.Random) -> Iterator[Damage]:
    """A safetensors file, changed and saved with a correct checksum, as another version or a user might."""
    from lowerbound.foundation.storage import load_tensors, save_tensors

    tensors, metadata = load_tensors(path)
    changed = path.with_name("changed.safetensors")

    def saved(kind: str, where: str, new_tensors: Any, new_metadata: Any) -> Sequence[Damage]:
        try:
            save_tensors(changed, new_tensors, new_metadata)
        except Exception:  # what cannot be saved cannot be found on a disk
            return ()
        content = changed.read_bytes()
        changed.unlink()
        return (Damage(f"resaved: {kind}", where, content),)

    for kind, where, new in edited(metadata, bits, 30):
        if isinstance(new, dict):
            yield from saved(kind, where, tensors, new)
    for name in bits.sample(sorted(tensors), min(8, len(tensors))):
        tensor = tensors[name]
        rest = {key: value for key, value in tensors.items() if key != name}
        yield from saved("tensor deleted", name, rest, metadata)
        yield from saved("tensor renamed", name, {**rest, name + "_": tensor}, metadata)
        yield from saved("tensor flattened", name, {**rest, name: tensor.reshape(-1)[:-1]}, metadata)
        yield from saved("tensor of another type", name, {**rest, name: tensor.short()}, metadata)
        yield from saved("tensor of NaN", name, {**rest, name: tensor.double() * float("nan")}, metadata)
    yield from saved("no tensors", "", {}, metadata)
