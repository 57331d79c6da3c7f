"""Compares two folders byte for byte, except for measured times and random names."""

import base64
import gzip
import hashlib
import json
import re
import struct
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Tree = Mapping[str, bytes]

VARYING = {"seconds", "examples_per_second", "seconds_left", "command", "replaces"}
"""Keys of measured times, of the command of a run, and of its previous results."""

BOUND_TO_THEM = re.compile(r"(^|_)(id|checksum|checksums|digest|sha256|files)$")
"""Keys that identify one execution, or hash a file that holds a time; the files themselves are compared."""

KEPT = {"data_checksum", "test_checksum"}

SECONDS = re.compile(r"\d[\d,.]* ?(?:s|seconds|min|minutes|ms|examples/s|images/s|rows/s)\b")
CARRIED = re.compile(r'<script type="application/gzip;base64" id="[\w-]+">([\w+/=\s]+)</script>')


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def is_left_over(name: str) -> bool:
    """Whether a file is unfinished: a temporary file."""
    return any(part.startswith(".") or part.endswith(".part") for part in Path(name).parts)


def differences(found: Tree, expected: Tree) -> list[str]:
    """The differences between two trees, a line per file."""
    lines = [f"{name} is missing" for name in expected.keys() - found.keys()]
    lines += [f"{name} is left over" for name in found.keys() - expected.keys()]
    common = found.keys() & expected.keys()
    return sorted(lines + [f"{name} differs" for name in common if not same(name, found[name], expected[name])])


def same(name: str, found: bytes, expected: bytes) -> bool:
    """Whether two files have the same content."""
    return found == expected or essence(name, found) == essence(name, expected)


def essence(name: str, content: bytes) -> str:
    """Digest of a file without the parts that vary between executions; of a damaged file, of all its bytes."""
    read = READERS.get(Path(name).suffix)
    try:
        value = content if read is None else read(content)
    except (ValueError, KeyError, struct.error, IndexError):
        value = b"damaged" + content
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()


def why_damaged(name: str, content: bytes) -> str:
    """Why a file is incomplete; empty for a complete one."""
    read = READERS.get(Path(name).suffix)
    try:
        if read is not None:
            read(content)
    except (ValueError, KeyError, struct.error, IndexError) as error:
        return f"{name} is not whole ({type(error).__name__}: {error})"
    if not content and not name.endswith(".jsonl"):
        return f"{name} is empty"
    return ""


def settled(value: Any) -> Any:
    """A JSON value without its varying keys."""
    if isinstance(value, dict):
        return {key: settled(v) for key, v in sorted(value.items()) if not _varies(key)}
    return [settled(v) for v in value] if isinstance(value, list) else value


def text_settled(text: str) -> str:
    """Text without times."""
    return SECONDS.sub("# s", text)


def _varies(key: str) -> bool:
    return key in VARYING or (key not in KEPT and BOUND_TO_THEM.search(key) is not None)


def _json(content: bytes) -> Any:
    return settled(json.loads(content))


def _lines(content: bytes) -> Any:
    *whole, cut = content.decode().split("\n")
    return [settled(json.loads(line)) for line in whole], cut


def _toml(content: bytes) -> Any:
    return settled(tomllib.loads(content.decode()))


def _safetensors(content: bytes) -> Any:
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    about = header.pop("__metadata__", {})
    ends = [0, *(tensor["data_offsets"][1] for tensor in header.values())]
    if max(ends) != len(data):
        raise ValueError(f"{len(data)} bytes of tensors where {max(ends)} are stated")
    # The library writes them in an order that differs from one process to the next.
    metadata = {key: _nested(value) for key, value in sorted(about.items()) if not _varies(key)}
    tensors = {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in sorted(header.items())}
    return metadata, tensors


def _nested(text: str) -> Any:
    try:
        return settled(json.loads(text))
    except ValueError:
        return text


def _html(content: bytes) -> Any:
    text = content.decode()
    if not text.rstrip().endswith("</html>"):
        raise ValueError("the page has no end")
    return text_settled(CARRIED.sub(_carried, text))


def _carried(script: re.Match[str]) -> str:
    """A payload of an offline page without what varies: a log contains times."""
    content = gzip.decompress(base64.b64decode(script[1]))
    try:
        return repr(settled(json.loads(content)))
    except ValueError:
        return hashlib.sha256(content).hexdigest()


def _png(content: bytes) -> bytes:
    if not content.endswith(b"IEND\xaeB\x60\x82"):
        raise ValueError("the picture has no end")
    return content


READERS: dict[str, Callable[[bytes], Any]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".toml": _toml,
    ".safetensors": _safetensors,
    ".html": _html,
    ".png": _png,
}
