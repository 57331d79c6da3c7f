"""Output of the command line: tables and messages. Does not import torch, so help is fast.

Progress and messages go to standard error, results to standard output.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from lowerbound.commands import terminal
from lowerbound.foundation.text import in_encoding, one_line, skipped_lines

terminal.drop_impossible_sizes(os.environ)  # consoles read these variables when they are made


out = terminal.PlainConsole(highlight=False, soft_wrap=True)
err = terminal.PlainConsole(stderr=True, highlight=False, soft_wrap=True)

MOST_SHOWN = 20
"""Lines of a list that are printed."""


def print_written(path: Path, skipped: Sequence[str] = (), notes: Sequence[str] = ()) -> None:
    """Print the path of a file that was written, after notes and what was skipped."""
    print_notes(notes)
    print_skipped(skipped)
    out.print(str(path), markup=False)


def print_skipped(skipped: Sequence[str]) -> None:
    """Print what was skipped, with the reasons."""
    for line in skipped_lines(skipped):
        err.print(line, markup=False)


def print_notes(notes: Sequence[str]) -> None:
    """Print how examples were converted."""
    for note in notes:
        err.print(note, markup=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> None:
    """Print a plain table on standard output; the columns numbered in `right` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        table.add_column(column, justify="right" if index in right else "left", overflow="fold", no_wrap=not last)
    for row in rows:
        # Encoded before widths are measured: a replacement may be longer.
        table.add_row(*(escape(in_encoding(one_line(str(cell)), out.encoding)) for cell in row))
    # Without a terminal (a pipe, a log) lines are long rather than folded, unless a width is given.
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = 200
    out.print(table)


def fail(error: BaseException | str) -> None:
    """Print one line on standard error."""
    print(f"lowerbound: {one_line(str(error))}", file=sys.stderr)


def silence() -> None:
    """Print nothing from here on but failures."""
    out.quiet = err.quiet = True
