"""Named columns as files, read again by other libraries."""

import csv
import json

import numpy as np
import pytest

from lowerbound.data.column_writers import CsvForm, csv_form, labels_column, named_columns, records, write_columns
from lowerbound.foundation.schema import Column, Schema

VALUES = {"id": np.array(["a", "b", "c"]), "score": np.array([1.5, np.nan, -np.inf], np.float32)}


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    write_columns(tmp_path / "x.json", VALUES)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads((tmp_path / "x.json").read_text(), parse_constant=refuse)
    assert found == [{"id": "a", "score": 1.5}, {"id": "b", "score": None}, {"id": "c", "score": None}]
    assert records(VALUES) == found


def test_numbers_that_are_not_finite_are_empty_in_csv(tmp_path):
    write_columns(tmp_path / "x.csv", VALUES)
    with (tmp_path / "x.csv").open() as file:
        assert list(csv.reader(file)) == [["id", "score"], ["a", "1.5"], ["b", ""], ["c", ""]]


@pytest.mark.parametrize("separator", ["", "\t", "|"])
def test_rows_are_written_with_the_signs_of_the_table_that_a_model_was_trained_on(tmp_path, separator):
    schema = Schema(layout="table", shape=(3,), dtype="", decimal=",", separator=separator)
    rows = {"id": np.array(["a;b", "1,5"]), "score": np.array([1.5, np.nan], np.float32), "count": np.array([3, 4])}
    write_columns(tmp_path / "x.csv", rows, csv_form(schema))
    with (tmp_path / "x.csv").open() as file:
        found = list(csv.reader(file, delimiter=separator or ";"))
    assert found == [["id", "score", "count"], ["a;b", "1,5", "3"], ["1,5", "", "4"]]
    assert csv_form(Schema(layout="image", shape=(2, 2, 1), dtype="uint8")) == CsvForm(",", ".")


def test_numbers_that_are_not_finite_are_null_in_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write_columns(tmp_path / "x.parquet", VALUES)
    assert parquet.read_table(tmp_path / "x.parquet").to_pydict() == {"id": ["a", "b", "c"], "score": [1.5, None, None]}


def test_numbers_that_are_not_finite_stay_in_npz(tmp_path):
    write_columns(tmp_path / "x.npz", VALUES)
    with np.load(tmp_path / "x.npz") as found:
        np.testing.assert_array_equal(found["score"], VALUES["score"])


@pytest.mark.parametrize(
    ("names", "positions", "expected"),
    [
        (("0", "7", "-2"), [2, 0, 1], [-2, 0, 7]),
        (("0", "07"), [1, 0], ["07", "0"]),
        (("1", "(none)"), [1, 0], ["(none)", "1"]),
        (("1", "²"), [1, 0], ["²", "1"]),
        (("a", "b"), [], []),
    ],
)
def test_labels_are_numbers_where_all_are_whole(names, positions, expected):
    found = labels_column(names, np.array(positions, np.int64))
    assert found.tolist() == expected and (found.dtype.kind == "i") == (names == ("0", "7", "-2"))


def test_a_missing_cell_of_any_kind_is_empty_and_numbers_get_their_offset_back():
    columns = (
        Column(name="day", kind="numeric", offset=20_230_000.0),
        Column(name="city", kind="categorical", levels=("Köln", "Ulm")),
        Column(name="visits", kind="count"),
    )
    rows = np.array([[101, 1, 3.2], [np.nan, np.nan, np.nan]], np.float32)
    found = named_columns(rows, columns)
    assert records(found) == [
        {"day": 20_230_101.0, "city": "Ulm", "visits": 3.0},
        {"day": None, "city": "", "visits": None},
    ]
