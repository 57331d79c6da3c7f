"""CSV as text: encoding, separator, position of each cell, replacing cells, unbalanced quotes.

Cells are found as by Python's csv module; with their positions a cell can be replaced while every other character stays
unchanged.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from itertools import islice

from lowerbound.data.file_signatures import check_bytes
from lowerbound.data.reading import pluralise, refuse

SEPARATORS = ",;\t|"
SAMPLE = 64 * 1024  # characters used to detect the separator
LEAST_SHARE = 0.9  # of the lines have as many cells as the header
LINE_BREAK = re.compile(r"\r\n|\r|\n")
NEVER_CLOSED = re.compile(r'"[^"]*+(?:""[^"]*+)*+')

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Text:
    """A file's characters and their encoding."""

    characters: str
    encoding: str
    mark: bytes = b""  # the byte order mark before them

    def encoded(self, characters: str) -> bytes:
        """Other characters in the encoding of this file."""
        return self.mark + characters.encode(self.encoding)


Span = tuple[int, int]


def decode_csv(place: str, content: bytes) -> Text:
    """UTF-8, with or without a byte order mark, or UTF-16 with one; DataError for anything else."""
    check_bytes(place, content)
    mark, encoding = next((pair for pair in MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    try:
        return Text(content[len(mark) :].decode(encoding), encoding, mark)
    except UnicodeDecodeError as error:
        line = content[: len(mark) + error.start].count(b"\n") + 1
        name = "UTF-16" if "16" in encoding else "UTF-8"
        came = f"byte 0x{error.object[error.start]:02x}"
        refuse(place, f"is not {name} ({came} in line {line}); save it as UTF-8")


def find_separator(characters: str, place: str = "the text") -> str:
    """The separator that gives the header the most cells, among those that give most lines the same number."""
    # csv.Sniffer takes minutes for some files of a few thousand quotation marks.
    lines = list(StringIO(characters[:SAMPLE], newline=""))
    lines = lines[:-1] if len(characters) > SAMPLE and len(lines) > 1 else lines  # the last is cut off
    widths = {separator: _widths(lines, separator) for separator in SEPARATORS}
    several = [separator for separator in SEPARATORS if widths[separator][0] > 1]
    if several:
        return max(several, key=lambda one: (_share(widths[one]) >= LEAST_SHARE, widths[one][0]))
    _check_first_line(place, lines, widths)
    # One column: a separator that stands in none of its cells.
    return next((separator for separator in SEPARATORS if set(widths[separator]) <= {1}), ",")


def _check_first_line(place: str, lines: list[str], widths: Mapping[str, list[int]]) -> None:
    """DataError for a title or a comment above the header."""
    least = 2 if lines[:1] and lines[0].startswith("#") else 3  # cells: text often has a comma, and numbers have one
    for _, *later in widths.values():
        usual, count = (Counter(later).most_common(1) or [(0, 0)])[0]
        if usual >= least and count >= LEAST_SHARE * len(later):
            refuse(place, header_problem(1, usual))


def header_problem(of_header: int, usual: int) -> str:
    """What is wrong with a first line that does not name the columns."""
    came = f"has {pluralise(of_header, 'cell')} in line 1 and {usual:,} in later lines"
    return f"{came}; its first line must contain the column names; remove the lines above it"


def cell_spans(characters: str, separator: str) -> Iterator[list[Span]]:
    """The cells of each line that is not empty, quotation marks included: where each begins and ends."""
    cell = _cell_pattern(separator)
    position, end = 0, len(characters)
    while position < end:
        spans = []
        while True:
            match = cell.match(characters, position)
            assert match is not None  # the pattern matches nothing at all, too
            spans.append(match.span())
            position = match.end()
            if position == end or characters[position] != separator:
                break
            position += 1
        if len(spans) > 1 or spans[0][0] < spans[0][1]:
            yield spans
        position += 2 if characters[position : position + 2] == "\r\n" else 1


def quote_problem(row: str, separator: str, width: int, line: int) -> str:
    """What is wrong with the quotation marks of a row that begins in `line` and should have `width` cells; empty if
    nothing is. Such a row has absorbed others, so skipping it would silently lose them.
    """
    if '"' not in row:
        return ""
    spans = next(cell_spans(row, separator), [])
    has_rows_in_it = len(spans) != width and row.count(separator) >= 2 * (width - 1) > 0
    done, num_before = 0, line
    for start, end in spans:
        if row[start : start + 1] != '"':
            continue
        first = num_before + _num_breaks(row, done, start)
        done, num_before = end, first + _num_breaks(row, start, end)
        opened = f"the quote opened in line {first}"
        if NEVER_CLOSED.fullmatch(row, start, end):
            return f"{opened} is never closed"
        if num_before > first and (row[end - 1] != '"' or has_rows_in_it):
            return f"{opened} is closed only in line {num_before}, which merges several rows"
    return ""


def replace_cells(characters: str, separator: str, cells: Mapping[tuple[int, int], str]) -> str:
    """The text with the cells at some (row, position) replaced, rows counted from 0 below the header."""
    rows = {row for row, _ in cells}
    parts, done = [], 0
    for row, spans in enumerate(islice(cell_spans(characters, separator), 1, None)):
        if row not in rows:
            continue
        for position, (start, end) in enumerate(spans):
            if (row, position) in cells:
                is_quoted = characters[start : start + 1] == '"'
                parts += [characters[done:start], _quoted(cells[row, position], separator, is_quoted)]
                done = end
    return "".join([*parts, characters[done:]])


def _num_breaks(text: str, start: int, end: int) -> int:
    return sum(1 for _ in LINE_BREAK.finditer(text, start, end))


def _widths(lines: list[str], separator: str) -> list[int]:
    return [len(row) for row in csv.reader(lines, delimiter=separator) if row] or [0]


def _share(widths: list[int]) -> float:
    return widths.count(widths[0]) / len(widths)


def _cell_pattern(separator: str) -> re.Pattern[str]:
    plain = rf"[^{re.escape(separator)}\r\n]*+"
    # Text after a closing quotation mark belongs to the cell; an unclosed quote takes the rest of the file.
    return re.compile(rf'"[^"]*+(?:""[^"]*+)*+(?:"{plain}|\Z)|{plain}')


def _quoted(text: str, separator: str, is_quoted: bool) -> str:
    if is_quoted or any(character in text for character in (separator, '"', "\r", "\n")):
        return '"' + text.replace('"', '""') + '"'
    return text
