"""Texts as they can be written: what an encoding lacks is replaced by what looks like it, or by its escape.

Names of files need not be text: Python holds the bytes of those that are not UTF-8 as surrogates, which no file takes.
"""

import codecs
import re

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
BYTES_OF_NAMES = range(0xDC80, 0xDD00)  # as which Python holds the bytes of names that are not UTF-8
LONGEST = 1500  # characters of a message
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


def escaped(character: str) -> str:
    """A character as an escape; one that stands for a byte of a name that is not UTF-8 as that byte."""
    code = ord(character)
    if code in BYTES_OF_NAMES:
        return f"\\x{code - 0xDC00:02x}"
    return ascii(character)[1:-1]


def readable(text: str) -> str:
    """A text that can be written as UTF-8: bytes of names that are not UTF-8 stand in it as \\xff."""
    return LONE_SURROGATES.sub(lambda found: escaped(found[0]), text)


def printable(text: str) -> str:
    """A text whose control characters, such as the escapes of a terminal, are written out; line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else escaped(c) for c in text)


def shortened(text: str, longest: int) -> str:
    """A text without its middle, where it is longer than `longest` characters."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def one_line(text: str, longest: int = LONGEST) -> str:
    """A text as one line that can be read: without control characters, and of bounded length."""
    text = shortened(text, longest)
    if text.isprintable():
        return text
    return printable(" ".join(text.split()))


def in_encoding(text: str, encoding: str) -> str:
    """A text as it will stand in a stream of that encoding."""
    return text.encode(encoding, HANDLER).decode(encoding)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(LOOK_ALIKES.get(character) or escaped(character) for character in missing), error.end


codecs.register_error(HANDLER, _replaced)
