"""A CSV's characters: encodings, separators, and the position of every cell."""

import codecs
import csv
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_files import refusal, written
from lowerbound.data.csv_text import cell_spans, decode_csv, find_separator, quote_problem, replace_cells
from lowerbound.data.tables import read_csv
from lowerbound.foundation.errors import DataError

PIECES = st.sampled_from(['"', '""', ",", ";", "\t", "\r", "\n", "\r\n", "a", "é", "\u2028", " ", "1", "'", "\\"])
TEXTS = st.lists(PIECES, max_size=25).map("".join)


def unquoted(raw: str) -> str:
    """What the csv module makes of one cell alone."""
    return next(csv.reader(StringIO(raw, newline=""), delimiter="\x00"), [""])[0] if raw else ""


@given(TEXTS, st.sampled_from(",;\t"))
def test_cells_are_found_where_the_csv_module_finds_them(text, separator):
    expected = [row for row in csv.reader(StringIO(text, newline=""), delimiter=separator) if row]
    found = [[unquoted(text[start:end]) for start, end in spans] for spans in cell_spans(text, separator)]
    assert found == expected


@given(TEXTS, st.sampled_from(",;\t"))
def test_replacing_every_cell_by_itself_changes_nothing_that_is_read(text, separator):
    rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=separator) if row]
    cells = {(row, position): cell for row, cells in enumerate(rows[1:]) for position, cell in enumerate(cells)}
    again = replace_cells(text, separator, cells)
    # An empty cell alone in its line cannot be told from an empty line.
    if all(row != [""] for row in rows):
        assert [row for row in csv.reader(StringIO(again, newline=""), delimiter=separator) if row] == rows


def test_a_replaced_cell_is_quoted_only_where_it_must_be_or_was():
    text = 'a,b\r\n1,\r\n\r\n"x, y",""\n3,?'
    found = replace_cells(text, ",", {(0, 1): "7.5", (1, 1): "8", (2, 1): 'q"u, o'})
    assert found == 'a,b\r\n1,7.5\r\n\r\n"x, y","8"\n3,"q""u, o"'


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_encodings_are_told_by_their_marks_and_written_again_byte_for_byte(mark, encoding):
    content = mark + "a,ä,😀\r\n".encode(encoding)
    text = decode_csv("x.csv", content)
    assert text.characters == "a,ä,😀\r\n" and text.encoded(text.characters) == content


def test_another_encoding_is_refused_with_the_line_and_what_to_do():
    with pytest.raises(DataError, match=r"^x\.csv is not UTF-8 \(byte 0xf6 in line 2\); save it as UTF-8\.$"):
        decode_csv("x.csv", "city\nKöln\n".encode("cp1252"))


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n1,5;2\n", ";"),
        ("a\tb, c\n1\t2\n", "\t"),
        ("a|b\nx|y\n", "|"),
        ("t\n20,5\n21,5\n", ";"),  # one column of decimal commas
        ('txt,a\n"two; lines",1\nx,1,2\n', ","),  # one line is too long
        ("a\n1\n", ","),
    ],
)
def test_the_separator_is_found_out(text, separator):
    assert find_separator(text) == separator


@pytest.mark.parametrize(
    ("row", "width", "problem"),
    [
        ('"3.5,x\n4.5,y\n', 2, "the quote opened in line 4 is never closed"),
        ('1,"a\nb","c', 3, "the quote opened in line 5 is never closed"),
        ('"3.5,x\n4.5,y\n"5.5,z\n', 2, "the quote opened in line 4 is closed only in line 6"),  # of the right width
        ('3.5,"x\n4.5,y"\n', 3, ""),  # one line too few cells: a row of its own, and broken
        ('3.5,"x,1\n4.5,y,2\n5.5,z",3\n', 4, "the quote opened in line 4 is closed only in line 6"),
        ('3.5,"Oslo,\nNorway",3\n', 3, ""),
        ('3.5,"a ""b""\nc",3\n', 3, ""),
        ('5" disk,x\n', 2, ""),
    ],
)
def test_a_quote_that_swallows_rows_is_found(row, width, problem):
    found = quote_problem(row, ",", width, 4)
    assert found.startswith(problem) and bool(found) == bool(problem)


@pytest.mark.parametrize("first", ["# exported 2024", "Sales, by city", "Report"])
def test_a_title_above_the_header_is_refused_with_the_widths(tmp_path, first):
    path = written(tmp_path / "x.csv", f"{first}\n".encode() + b"age,city,size\n" + b"41,Oslo,1.5\n" * 20)
    width = first.count(",") + 1
    cells = "1 cell" if width == 1 else "2 cells"
    assert f"has {cells} in line 1 and 3 in later lines" in refusal(path, read=read_csv)
