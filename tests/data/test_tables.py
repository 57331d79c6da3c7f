"""CSV, Parquet and columns in memory are read as named columns of cells."""

import datetime
from decimal import Decimal

import numpy as np
import pytest

from data_files import refusal, written
from lowerbound.data.parquet import read_parquet
from lowerbound.data.tables import STANDARD, TableOptions, read_csv, table_from_columns


def read(path, text, options=STANDARD):
    return read_csv(written(path, text.encode()), options)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out_and_quotes_and_a_byte_order_mark_are_understood(tmp_path, separator):
    lines = [["a", "b"], ["1.5", '"x, y"'], ["2.5", "z"], ["-1", '"say ""x"""']]
    text = "\ufeff" + "\r\n".join(separator.join(line) for line in lines)
    table = read(tmp_path / "x.csv", text)
    assert table.columns == {"a": ["1.5", "2.5", "-1"], "b": ["x, y", "z", 'say "x"']} and table.separator == separator


def test_a_separator_can_be_set(tmp_path):
    table = read(tmp_path / "x.csv", "a b:c\n1:2\n", TableOptions(separator=":"))
    assert table.columns == {"a b": ["1"], "c": ["2"]}


def test_utf_16_with_its_mark_is_read_as_utf_8_is(tmp_path):
    text = "stadt,a\nKöln,1\nŁódź,2\n"
    utf_16 = read_csv(written(tmp_path / "y.csv", text.encode("utf-16")))
    assert utf_16.columns == read(tmp_path / "x.csv", text).columns


def test_rows_know_the_line_that_they_begin_in(tmp_path):
    table = read(tmp_path / "x.csv", 'a,b\n"two\nlines",1\n\n\nx,2\n"p\r\nq",3\ny,4')
    assert list(table.lines) == [2, 6, 7, 9]
    assert table.where(1, "b") == f"{tmp_path / 'x.csv'}: row 1 (line 6), column 'b'"


def test_a_row_of_another_length_is_kept_and_named_by_the_line_of_the_file(tmp_path):
    body = "".join(f'"two\nlines {index % 4}",{index}\n' for index in range(20))
    table = read(tmp_path / "x.csv", f"txt,a\n{body}x,1,2\n")
    assert table.unreadable == {20: f"{tmp_path / 'x.csv'}: row 20 (line 42) has 3 cells, but the header has 2 columns"}
    assert table.num_rows == 21 and table.columns["a"][20] is None


def test_a_quote_that_swallows_rows_is_refused_with_its_line(tmp_path):
    body = "4.5,y\n" * 5
    for row in ('"3.5,x\n', '"3.5,x\n' + "1.5,z\n" * 50_000):  # longer than the csv module takes a cell
        message = refusal(written(tmp_path / "x.csv", f"a,b\n1.5,x\n{row}{body}".encode()), read=read_csv)
        assert message.endswith("the quote opened in line 3 is never closed; close the quote or remove it.")


def test_empty_cells_beyond_the_header_are_dropped_and_other_ones_are_named(tmp_path):
    table = read(tmp_path / "x.csv", "a,b\n" + "1.5,x,\n" * 10 + "2.5,y,3\n")
    assert table.columns["b"] == ["x"] * 10 + [None] and list(table.unreadable) == [10]
    assert table.notes == ("rows end with a separator that the header lacks; the empty cells after it are ignored",)


@pytest.mark.parametrize(
    ("header", "names", "unnamed"),
    [
        (",a", ["column 1", "a"], {"column 1"}),  # pandas' index
        ("a,,b", ["a", "column 2", "b"], {"column 2"}),
        ("column 2,,b", ["column 2", "column 2_", "b"], {"column 2_"}),
        ("0,1", ["0", "1"], set()),  # pandas' names of columns that have none
        (",0,1", ["column 1", "0", "1"], {"column 1"}),
        ("Unnamed: 0,a", ["Unnamed: 0", "a"], {"Unnamed: 0"}),
        ("country,2019,2020", ["country", "2019", "2020"], set()),
    ],
)
def test_every_column_has_a_name(tmp_path, header, names, unnamed):
    row = ",".join(["7.5"] * len(names))
    table = read(tmp_path / "x.csv", f"{header}\n{row}\n{row}\n")
    assert list(table.columns) == names and table.unnamed == unnamed and table.num_rows == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; its first line must contain the column names"),
        (b"a,b\n", "has no rows"),
        (b"a,b,a\n1,2,3\n", "has 'a' twice"),
        (b"1,2,3\n4,5,6\n", "has no header: line 1 ('1', '2', '3') is a row; add a first line with the column names"),
        (b"21.5,Oslo\n20.5,Bergen\n", "has no header: line 1 ('21.5', 'Oslo') is a row"),
        (b"22,Oslo\n20,Bergen\n21,Oslo\n", "has no header: line 1 ('22', 'Oslo') is a row"),
        (b"no,Oslo\nyes,Bergen\nno,Oslo\n", "has no header: line 1 ('no', 'Oslo') is a row"),
        (b"a,b\n\xff\xfe,2\n", "is not UTF-8 (byte 0xff in line 2); save it as UTF-8"),
        ("Größe,b\n1,2\n".encode("latin-1"), "is not UTF-8 (byte 0xf6 in line 1)"),
    ],
)
def test_a_csv_without_a_header_or_rows_or_in_another_encoding_is_refused(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path / "x.csv", content), read=read_csv)


COLUMNS = {
    "whole": [3, None, 5],
    "real": [0.5, float("nan"), 2.0],
    "truth": [True, None, False],
    "text": ["a ", None, "b"],
    "exact": [Decimal("1.25"), None, Decimal("3")],
    "day": [datetime.date(2024, 2, 29), None, datetime.date(2024, 3, 1)],
    "length": [datetime.timedelta(minutes=1), None, datetime.timedelta(milliseconds=500)],
}
CELLS = {
    "whole": [3, None, 5],
    "real": [0.5, None, 2.0],
    "truth": [True, None, False],
    "text": ["a", None, "b"],
    "exact": [1.25, None, 3.0],
    "day": ["2024-02-29", None, "2024-03-01"],
    "length": [60.0, None, 0.5],  # seconds
}


def test_values_of_every_type_become_numbers_texts_and_truth_values(tmp_path):
    assert table_from_columns(tmp_path, COLUMNS).columns == CELLS


def test_parquet_holds_the_same_cells_as_columns_in_memory(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(COLUMNS), tmp_path / "x.parquet")
    assert read_parquet(tmp_path / "x.parquet").columns == CELLS


def test_a_data_frame_holds_the_same_cells_and_its_categories_are_texts(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({**COLUMNS, "class": pandas.Categorical([1, 2, 1])}).convert_dtypes()
    frame["day"] = pandas.to_datetime(frame["day"])
    cells = table_from_columns(tmp_path, {name: frame[name] for name in frame}).columns
    assert cells.pop("class") == ["1", "2", "1"]
    assert cells.pop("day") == ["2024-02-29T00:00:00", None, "2024-03-01T00:00:00"]
    assert cells == {name: values for name, values in CELLS.items() if name != "day"}


def test_numpys_numbers_and_times_are_read_as_pythons(tmp_path):
    values = {
        "a": np.array([1, 2], np.int8),
        "b": np.array([True, False]),
        "c": np.array(["2024-01-01", "NaT"], "datetime64[D]"),
        "d": np.array([1500, 2000], "timedelta64[ms]"),
    }
    cells = table_from_columns(tmp_path, values).columns
    assert cells == {"a": [1, 2], "b": [True, False], "c": ["2024-01-01", None], "d": [1.5, 2.0]}
    assert type(cells["a"][0]) is int and type(cells["b"][0]) is bool
