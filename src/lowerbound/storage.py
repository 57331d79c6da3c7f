"""Files that are whole or absent: atomic writes, checksums, format versions.

Everything is written to a temporary file beside its target, flushed to the disk and renamed over it. A reader
therefore sees the old file or the new one, and a loader that maps the old file keeps a valid mapping.
"""

import atexit
import hashlib
import json
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lowerbound.errors import RunError

FORMAT_VERSION = 2
"""Version of config.toml, results.json and checkpoints; raised when an older reader would misread them."""


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path, then move what it wrote to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path) -> None:
    """A copy of a folder, whole or absent."""
    make_folder(target, lambda folder: shutil.copytree(source, folder, dirs_exist_ok=True))


def make_folder(target: Path, fill: Callable[[Path], object]) -> None:
    """A folder that is whole or absent: `fill` is called with an empty one beside `target`, which is then renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        fill(made)
        if target.exists():
            target.rmdir()  # an empty one
        made.rename(target)
        _sync_folder(target.parent)


def temporary_folder() -> Path:
    """An empty folder that is removed when the program ends."""
    path = Path(tempfile.mkdtemp(prefix="lowerbound-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; RunError if it is missing or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON ({error}); it is damaged.") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} holds a {type(value).__name__}, not an object; it is damaged.")
    return value


def write_toml(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as TOML, atomically."""
    write_text(path, tomli_w.dumps(value))


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; RunError if it is missing or damaged."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is not valid TOML: {error}.") from error


def toml_key(name: str) -> str:
    """A name as a part of a TOML key: bare where it can be, else quoted."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def append_json_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add one record to a log. A crash can cut the last line short, which `read_json_lines` passes over."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(value, allow_nan=False) + "\n")


def write_json_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole log, atomically."""
    write_text(path, "".join(json.dumps(value, allow_nan=False) + "\n" for value in values))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The whole records of a log, without a last one that was cut short; none if there is no such file."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        # What follows the last line break is empty, or a record that was being written.
        return [json.loads(line) for line in lines[:-1]]
    except ValueError as error:
        raise RunError(f"{path} holds a line that is not JSON ({error}); it is damaged.") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and JSON metadata as one safetensors file, atomically, with a checksum over both."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format_version": str(FORMAT_VERSION), "metadata": json.dumps(dict(metadata), sort_keys=True)}
    header["checksum"] = _checksum(contiguous, header["metadata"])
    write_atomically(path, lambda temporary: save_file(contiguous, temporary, metadata=header))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote; RunError if it is missing, damaged or newer than this version."""
    if not path.is_file():
        raise RunError(f"{path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({str(error).splitlines()[0]}).") from error
    version = header.get("format_version", "")
    check_format_version(path, int(version) if version.isdigit() else None)
    if header.get("checksum") != _checksum(tensors, header.get("metadata", "")):
        raise RunError(f"{path} is damaged (its checksum does not match its content).")
    return tensors, json.loads(header["metadata"])


def stated_checksum(path: Path) -> str:
    """The checksum that a file of `save_tensors` states: what `load_tensors` holds its content against."""
    with safe_open(path, framework="pt") as file:
        return str((file.metadata() or {}).get("checksum", ""))


def check_format_version(path: Path, version: object) -> None:
    """Refuse what another version of this package wrote, where it would be misread."""
    if not isinstance(version, int) or version < 1:
        raise RunError(f"{path} states no format version; it was not written by lowerbound.")
    if version < FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {version}, this lowerbound reads {FORMAT_VERSION}; train the run again, or use "
            "the lowerbound that wrote it."
        )
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {version}, this lowerbound reads up to {FORMAT_VERSION}; "
            "install a newer lowerbound."
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checksum(tensors: Mapping[str, Tensor], metadata: str) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}/{tensor.dtype}/{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _umask() -> int:
    # mkstemp makes private files; a run directory follows the user's umask like any other output.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk, too. Not every system lets a folder be opened.
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
