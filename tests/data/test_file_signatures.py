"""Files of another kind that are named .csv are recognised."""

import gzip
import io
import zipfile

import pytest

from data_files import refusal, written
from lowerbound.data.tables import read_csv


def zipped(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "<x/>")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (gzip.compress(b"a,b\n1,2\n"), "is a file compressed with gzip, not CSV; decompress it (gunzip)"),
        (zipped("[Content_Types].xml"), "is an Excel workbook or another Office document, not CSV; save it as CSV"),
        (zipped("a.csv"), "is a zip archive, not CSV; extract the table from it"),
        (b"PAR1\x15\x04\x15", "is a Parquet file, not CSV; rename it to .parquet"),
        (b'\n{"a": 1, "b": 2}\n{"a": 3, "b": 4}\n', "looks like JSON (it begins with "),
        (b'[{"a": 1, "b": 2}, {"a": 3, "b": 4}]', "looks like JSON"),
        (b"[1, 2]\n[3, 4]\n", "looks like JSON"),
        (b"<!DOCTYPE html><html><body>404, not found</body></html>\n", "looks like HTML or XML"),
        (b"<rows>\n<row a='1,2'/>\n</rows>\n", "looks like HTML or XML"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path, content, what):
    assert what in refusal(written(tmp_path / "x.csv", content), read=read_csv)


@pytest.mark.parametrize("names", ["<TICKER>,<DATE>", "[kg],[m]", "{id},{x}", "PAR1,PAR2", "BZh,b"])
def test_headers_that_begin_like_another_kind_are_headers(tmp_path, names):
    table = read_csv(written(tmp_path / "x.csv", f"{names}\n</b>,2\n".encode()))
    assert list(table.columns) == names.split(",")
