"""The file of compressed examples: a header, the model where it is embedded, and blocks that stand for themselves.

    magic, version, 0, bytes and CRC of the header  20 bytes
    header                                          JSON, deflated: `Header`
    model                                           a model.safetensors, if embedded
    blocks                                          each: exceptions, deflated; a table's texts; the coder's words

All numbers are little-endian. The header states the bytes and the CRC of every block, so that one can be read, or be
damaged, without the others.
"""

import json
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lowerbound.coding.bits_back import Block, Grid
from lowerbound.coding.rounded_networks import Exceptions
from lowerbound.compression.table_cells import StoredTable
from lowerbound.foundation.errors import DataError, RunError
from lowerbound.foundation.storage import write_atomically
from lowerbound.foundation.strict import parsed

MAGIC = b"\x93LBITS\r\n"
VERSION = 1
PREFIX = struct.Struct("<8sHHII")  # magic, version, 0, bytes of the header, their CRC
MAX_HEADER = 2**28  # bytes, unpacked
EXCEPTION, WORD = np.dtype("<u4"), np.dtype("<u4")
MAX_LANES, MAX_BLOCK = 256, 2**20
ALWAYS = ("shape", "event_shape", "low", "high")
"""Fields of the header that are written even if they are empty or 0."""


@dataclass(frozen=True, kw_only=True)
class BlockEntry:
    """A block in the header."""

    num_examples: int
    num_bytes: int
    crc: int  # of the bytes
    num_exceptions: int
    exception_bytes: int
    direct: tuple[int, ...]
    levels_crc: int  # of the decoded levels


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is needed to read the blocks, and what they contain."""

    model: str  # its checksum
    model_bytes: int = 0  # embedded
    model_crc: int = 0
    event_shape: tuple[int, ...]
    num_levels: int
    grid: Grid
    lanes: int
    block: int  # examples in each but the last
    blocks: tuple[BlockEntry, ...]
    dtype: str  # of the values
    shape: tuple[int, ...]  # of one example as it was given
    low: float  # the value of level 0
    high: float  # of the last level
    is_image: bool = False  # elements are channels first for the model, and last as they were given
    names: tuple[str, ...] = ()  # of files, in order
    table: StoredTable | None = None  # of rows of a table
    texts: tuple[int, ...] = ()  # bytes of each block's texts, of a table
    labels: tuple[str, ...] = ()  # of the examples, where they are kept

    @property
    def num_examples(self) -> int:
        """Examples of all blocks."""
        return sum(block.num_examples for block in self.blocks)


def _as_json(header: Header) -> bytes:
    """The header without empty fields."""
    content = {name: value for name, value in asdict(header).items() if value or name in ALWAYS}
    return json.dumps(content, separators=(",", ":")).encode()


TYPICAL = _as_json(
    Header(
        model="0123456789abcdef",
        event_shape=(1, 28, 28),
        num_levels=256,
        grid=Grid(fineness=5, coarseness=2, bound=8),
        lanes=4,
        block=10000,
        blocks=(
            BlockEntry(
                num_examples=10000,
                num_bytes=100000,
                crc=10**9,
                num_exceptions=10,
                exception_bytes=50,
                direct=(0, 1),
                levels_crc=1,
            ),
        ),
        dtype="|u1",
        shape=(28, 28),
        low=0.0,
        high=255.0,
        is_image=True,
    )
)
"""A header like most, known to both sides: only what differs from it takes space. Never changed within a version."""


@dataclass(frozen=True)
class Container:
    """A file that was opened: its header, its embedded model, and where the blocks begin."""

    path: Path
    header: Header
    model: bytes
    start: int


def entry_of(block: Block, levels_crc: int, texts: bytes = b"") -> tuple[BlockEntry, bytes]:
    """A block's entry and its bytes."""
    exceptions = block.exceptions.as_array().astype(EXCEPTION)
    packed = _deflated(exceptions.T.tobytes()) if len(exceptions) else b""
    content = packed + texts + np.asarray(block.words).astype(WORD).tobytes()
    entry = BlockEntry(
        num_examples=block.num_images,
        num_bytes=len(content),
        crc=zlib.crc32(content),
        num_exceptions=len(exceptions),
        exception_bytes=len(packed),
        direct=block.direct,
        levels_crc=levels_crc,
    )
    return entry, content


def crc_of(levels: np.ndarray) -> int:
    """The checksum of levels, whatever the machine."""
    return zlib.crc32(np.ascontiguousarray(levels, "<i8").data)


def write_container(path: Path, header: Header, model: bytes, blocks: Sequence[bytes]) -> int:
    """Write a file, atomically; returns the bytes of everything but the blocks."""
    packed = _deflated(_as_json(header), TYPICAL)
    prefix = PREFIX.pack(MAGIC, VERSION, 0, len(packed), zlib.crc32(packed))

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for part in (prefix, packed, model, *blocks):
                file.write(part)

    write_atomically(path, write)
    return len(prefix) + len(packed) + len(model)


def _deflated(content: bytes, known: bytes = b"") -> bytes:
    """Content without a header of its own, given what both sides know."""
    packer = zlib.compressobj(9, wbits=-15, zdict=known) if known else zlib.compressobj(9, wbits=-15)
    return packer.compress(content) + packer.flush()


def open_container(path: Path) -> Container:
    """The header of a file; DataError if it is missing, of another kind or damaged."""
    try:
        with path.open("rb") as file:
            prefix = file.read(PREFIX.size)
            if len(prefix) < PREFIX.size or not prefix.startswith(MAGIC):
                raise DataError(f"{path} is not a file of compressed examples, as lowerbound writes them.")
            _, version, reserved, length, crc = PREFIX.unpack(prefix)
            if version != VERSION or reserved:
                raise DataError(f"{path} has version {version}.{reserved}; this lowerbound reads version {VERSION}.0.")
            packed = file.read(length)
            header = _header(path, packed, length, crc)
            model = file.read(header.model_bytes)
            if len(model) != header.model_bytes or zlib.crc32(model) != header.model_crc:
                raise DataError(f"{path} is damaged: its embedded model is not what was written.")
            return Container(path, header, model, file.tell())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _header(path: Path, packed: bytes, length: int, crc: int) -> Header:
    if len(packed) != length or zlib.crc32(packed) != crc:
        raise DataError(f"{path} is damaged: its header is not what was written.")
    try:
        unpacked = zlib.decompressobj(wbits=-15, zdict=TYPICAL).decompress(packed, MAX_HEADER)
        header = parsed(Header, json.loads(unpacked), f"the header of {path}")
    except (zlib.error, ValueError, RecursionError, RunError) as error:
        raise DataError(f"{path} is damaged: its header cannot be read ({error}).") from error
    problem = _problem(header, path.stat().st_size)
    if problem:
        raise DataError(f"{path} is damaged: {problem}.")
    return header


def _problem(header: Header, num_bytes: int) -> str:
    """What of a header cannot be; empty if it can."""
    grid, blocks = header.grid, header.blocks
    if not (0 < header.lanes <= MAX_LANES and 0 < header.block <= MAX_BLOCK and header.num_levels > 1):
        return "its header states sizes that do not exist"
    if not (0 <= grid.coarseness <= grid.fineness <= 30 and 0 < grid.bound << grid.fineness <= 2**22):
        return "its header states a grid that does not exist"
    if any(not 0 < entry.num_examples <= header.block for entry in blocks):
        return "its header states a block of no examples, or of too many"
    if any(not 0 <= entry.exception_bytes <= entry.num_bytes or entry.num_exceptions < 0 for entry in blocks):
        return "its header states more exceptions than bytes"
    # A block or two may be missing at the end, but none is longer than the file.
    if max((header.model_bytes, *(entry.num_bytes for entry in blocks))) > num_bytes or header.model_bytes < 0:
        return "it is shorter than its header states"
    if not _is_type(header.dtype) or math.prod(header.shape) != math.prod(header.event_shape):
        return "its header states values that its examples cannot have"
    if any(each and len(each) != header.num_examples for each in (header.names, header.labels)):
        return "its header does not name every example"
    sizes = header.texts or (0,) * len(blocks)
    if len(sizes) != len(blocks) or any(
        not 0 <= size <= entry.num_bytes - entry.exception_bytes for size, entry in zip(sizes, blocks, strict=True)
    ):
        return "its header states more text than bytes"
    return ""


def _is_type(name: str) -> bool:
    """Whether a name is that of a type of numbers."""
    try:
        return np.dtype(name).kind in "biuf"
    except TypeError:
        return False


def read_block(container: Container, number: int) -> tuple[Block, bytes]:
    """A block, and its texts; DataError if it is damaged."""
    entries = container.header.blocks
    entry = entries[number]
    with container.path.open("rb") as file:
        file.seek(container.start + sum(before.num_bytes for before in entries[:number]))
        content = file.read(entry.num_bytes)
    if len(content) != entry.num_bytes or zlib.crc32(content) != entry.crc:
        raise DataError("its bytes are not what was written")
    first = entry.exception_bytes
    last = first + (container.header.texts[number] if container.header.texts else 0)
    try:
        unpacked = zlib.decompressobj(wbits=-15).decompress(content[:first], MAX_HEADER) if first else b""
        exceptions = np.frombuffer(unpacked, EXCEPTION).reshape(2, entry.num_exceptions).T.tolist()
        words = np.frombuffer(content[last:], WORD).astype(np.uint32)
    except (zlib.error, ValueError) as error:
        raise DataError("its bytes are not those of any examples") from error
    return Block(words, entry.num_examples, entry.direct, Exceptions.of_array(exceptions)), content[first:last]
