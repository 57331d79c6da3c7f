"""Seeded mutations of valid bytes: bit flips, truncation, copies, false lengths, and tokens that parsers mishandle."""

import random
import re
from collections.abc import Callable
from typing import Literal

MAGIC = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**40,
    2**63,
    2**64 - 1,
)
TOKENS = (
    *("nan", "inf", "-inf", "1e999", "-1e999", "1e-999", "9" * 400, "-0", "0x10", "1_000", "1,5", "٣", "½", "１"),
    *(
        "\x00",
        "\ufeff",
        "\u2028",
        "\r",
        "\n",
        '"',
        "'",
        "\\",
        ",,,,",
        ";",
        "\t",
        "a" * 5000,
        "🙂",
        "\x1b[31m",
        "%s",
        "{}",
    ),
    *("[" * 2000, "{" * 500, "(" * 500, "true", "null", "1979-05-27", "<script>", "../../etc/passwd", "\ud800"),
)
NUMBER = re.compile(rb"\d+(?:\.\d+)?")
TEXTS = (".csv", ".tsv", ".toml", "--set")


def mutated(name: str, content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    """Apply one to four mutations, one after another."""
    kinds = (*BINARY, *TEXTUAL) if name.endswith(TEXTS) else (*BINARY, *BINARY, *TEXTUAL)
    for _ in range(bits.choice((1, 1, 1, 2, 3, 4))):
        content = bits.choice(kinds)(content or b"\0", others, bits)
    return content


LITTLE_OR_BIG: tuple[Literal["little", "big"], ...] = ("little", "big")
Mutation = Callable[[bytes, tuple[bytes, ...], random.Random], bytes]


def _flip(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(bits.choice((1, 1, 2, 8))):
        changed[_place(content, bits)] ^= 1 << bits.randrange(8)
    return bytes(changed)


def _cut(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    return content[: bits.randrange(len(content) + 1)]


def _drop(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    at = _place(content, bits)
    return content[:at] + content[at + bits.choice((1, 2, 4, 16, 100)) :]


def _double(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    at, length = _place(content, bits), bits.choice((1, 4, 16, 100, 1000))
    return content[:at] + content[at : at + length] * bits.choice((2, 3, 50)) + content[at + length :]


def _blank(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    at, length = _place(content, bits), bits.choice((1, 4, 16, 64))
    return content[:at] + bytes([bits.choice((0, 255, 32))]) * length + content[at + length :]


def _lie(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    """Overwrite bytes with a number that a length or an offset could be."""
    size, order = bits.choice((1, 2, 4, 4, 8)), LITTLE_OR_BIG[bits.randrange(2)]
    at, value = _place(content, bits), bits.choice(MAGIC) % 256**size
    return content[:at] + value.to_bytes(size, order) + content[at + size :]


def _splice(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    other = bits.choice(others)
    return content[: _place(content, bits)] + other[_place(other, bits) :]


def _noise(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    at = _place(content, bits)
    return content[:at] + bits.randbytes(bits.choice((1, 8, 64, 512))) + content[at:]


def _token(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    at, token = _place(content, bits), bits.choice(TOKENS).encode("utf-8", "surrogatepass")
    return content[:at] + token + content[at + bits.choice((0, 0, 1, len(token))) :]


def _number(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    found = list(NUMBER.finditer(content))
    if not found:
        return _token(content, others, bits)
    match, token = (
        bits.choice(found),
        bits.choice((*TOKENS, *map(str, MAGIC), "-1", "")).encode("utf-8", "surrogatepass"),
    )
    return content[: match.start()] + token + content[match.end() :]


def _lines(content: bytes, others: tuple[bytes, ...], bits: random.Random) -> bytes:
    lines = content.split(b"\n")
    at = bits.randrange(len(lines))
    changes: tuple[list[bytes], ...] = (
        [],
        [lines[at]] * 2,
        [lines[at], b""],
        [lines[at] + bits.choice((b",", b";", b'"', b"\t"))],
    )
    return b"\n".join([*lines[:at], *bits.choice(changes), *lines[at + 1 :]])


def _place(content: bytes, bits: random.Random) -> int:
    # Headers stand at the front, those of zip and Parquet at the end.
    size = max(1, len(content))
    near = min(size, 128)
    return bits.choice((bits.randrange(size), bits.randrange(near), size - 1 - bits.randrange(near)))


BINARY: tuple[Mutation, ...] = (_flip, _flip, _cut, _drop, _double, _blank, _lie, _lie, _splice, _noise)
TEXTUAL: tuple[Mutation, ...] = (_token, _number, _number, _lines)
