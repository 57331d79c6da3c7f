"""Cells are filled where they stand; everything else is copied."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from data_files import written
from lowerbound.data.parquet import read_parquet
from lowerbound.data.table_filling import Fill, fill_csv, fill_parquet, same_file
from lowerbound.data.tables import read_csv


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_csv_changes_only_in_the_cells_that_are_filled(tmp_path, ends, mark):
    content = mark + ends.join(["a;b", '"1,5";x', ";", "", '2;"y;z"', ""]).encode()
    table = read_csv(written(tmp_path / "x.csv", content))
    fills = {(1, "a"): Fill("2.25", 2.25), (1, "b"): Fill("u;v", is_level=True)}
    assert fill_csv(content, table, ",", fills) == content.replace(
        f"{ends};{ends}".encode(), f'{ends}2,25;"u;v"{ends}'.encode()
    )


@pytest.mark.parametrize(
    ("kind", "fill", "value"),
    [
        (pa.int8(), Fill("300", 300.0), 127),
        (pa.uint8(), Fill("-2", -2.0), 0),
        (pa.float32(), Fill("1.5", 1.5), 1.5),
        (pa.bool_(), Fill("true", is_level=True), True),
        (pa.string(), Fill("a", is_level=True), "a"),
        (pa.dictionary(pa.int32(), pa.string()), Fill("new", is_level=True), "new"),
    ],
)
def test_a_fill_takes_the_type_of_its_parquet_column(tmp_path, kind, fill, value):
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"x": pa.array([None, None], kind), "other": [1, 2]}), path)
    filled = parquet.read_table(pa.BufferReader(fill_parquet(path, read_parquet(path), {(1, "x"): fill})))
    assert filled.column("x").to_pylist() == [None, value]
    assert filled.column("other").to_pylist() == [1, 2]


def test_a_link_is_the_same_file(tmp_path):
    file = written(tmp_path / "a", b"")
    (tmp_path / "b").symlink_to(file)
    assert same_file(file, tmp_path / "b") and not same_file(file, tmp_path / "c")
