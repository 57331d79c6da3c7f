"""Text that any stream can print: look-alikes or escapes for missing characters, one line, bounded length.

File names need not be UTF-8: Python represents their other bytes as surrogates, which cannot be written to files.
"""

import codecs
import re
from collections.abc import Sequence

LOOK_ALIKES = {
    "±": "+/-",
    "×": "x",
    "−": "-",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "·": "-",
    "•": "*",
    "²": "^2",
    "σ": "sigma",
    "μ": "mu",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    **dict(zip("▁▂▃▄▅▆▇█", "..::||##", strict=True)),
}
HANDLER = "lowerbound.look-alikes"
BYTES_OF_NAMES = range(0xDC80, 0xDD00)  # surrogates for bytes of file names that are not UTF-8
MOST_SKIPPED = 20  # of the things skipped that are named
LONGEST = 1500  # characters of a message
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def escaped(character: str) -> str:
    """A character as an escape sequence; a surrogate for a byte as that byte."""
    code = ord(character)
    if code in BYTES_OF_NAMES:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]


def readable(text: str) -> str:
    """Text that can be encoded as UTF-8: other bytes of file names become escapes such as \\xff."""
    return LONE_SURROGATES.sub(lambda found: escaped(found[0]), text)


def printable(text: str) -> str:
    """Text with control characters, such as terminal escapes, written out; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else escaped(c) for c in text)


def pluralise(count: int, noun: str) -> str:
    """A count with its noun: 1 cell, 2 cells."""
    return f"{count:,} {noun}" + ("s" if count != 1 else "")


def skipped_lines(reasons: Sequence[str], most: int = MOST_SKIPPED) -> list[str]:
    """A line for each thing that was skipped, of which `most` are named, and their number."""
    total = [f"{len(reasons):,} skipped in total"] if len(reasons) > 1 else []
    return [*(f"skipped: {reason}" for reason in reasons[:most]), *total]


def shortened(text: str, longest: int) -> str:
    """Text without its middle, if it is longer than `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def one_line(text: str, longest: int = LONGEST) -> str:
    """Text as one readable line: without control characters, and of bounded length."""
    text = shortened(text, longest)
    if text.isprintable():
        return text
    return printable(" ".join(text.split()))


def in_encoding(text: str, encoding: str) -> str:
    """Text as a stream of that encoding will show it."""
    return text.encode(encoding, HANDLER).decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(LOOK_ALIKES.get(character) or escaped(character) for character in missing), error.end


codecs.register_error(HANDLER, _replaced)
