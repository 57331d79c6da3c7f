"""New rows are read by a run's schema: what is unreadable is refused or kept without a value, and never missing."""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from data_files import written
from lowerbound.data.array_examples import conform_array
from lowerbound.data.array_schema import infer_array_schema
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.parquet import read_parquet
from lowerbound.data.raw_array import RawArray
from lowerbound.data.table_examples import conform_table, drop_unreadable, table_to_array
from lowerbound.data.table_schema import infer_table
from lowerbound.data.tables import STANDARD, TableOptions, read_csv, table_from_columns
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Column, Schema
from table_files import csv_file, learned_csv

COLUMNS = (
    Column(name="age", kind="numeric", offset=40.0, missing_markers=("unknown",)),
    Column(name="visits", kind="count"),
    Column(name="sex", kind="binary", levels=("f", "m")),
    Column(name="city", kind="categorical", levels=("Köln", "Ulm", "Łódź")),
    Column(name="size", kind="binary", levels=("5", "7")),
)
HEADER = "age,visits,sex,city,size\n"
SCHEMA = Schema(layout="table", shape=(5,), dtype="", columns=COLUMNS, left_out=("id",), label="class")


def conform(path: Path, text: str, schema: Schema = SCHEMA, skip_broken: bool = False):
    return conform_table(read_csv(written(path, text.encode())), schema, skip_broken)


def test_cells_are_numbers_less_the_offset_counts_and_positions_of_levels(tmp_path):
    values = conform(tmp_path / "x.csv", f"{HEADER}40.5,3,m,Ulm,7\n39,0,f,Łódź,5.0\n").examples.values
    assert values.tolist() == [[0.5, 3, 1, 1, 1], [-1, 0, 0, 2, 0]]


@pytest.mark.parametrize("cell", ["", " ", "NA", "nan", "NULL", "unknown"])
def test_empty_cells_and_markers_are_missing(tmp_path, cell):
    values = conform(tmp_path / "x.csv", f"{HEADER}{cell},3,m,Ulm,7\n").examples.values
    np.testing.assert_array_equal(values, np.array([[np.nan, 3, 1, 1, 1]], np.float32))


def test_a_columns_own_marker_is_none_of_another_column(tmp_path):
    with pytest.raises(DataError, match="column 'visits' is 'unknown'"):
        conform(tmp_path / "x.csv", f"{HEADER}40,unknown,m,Ulm,7\n")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (">90,3,m,Ulm,7", "column 'age' is '>90'; accepted: numbers, or an empty cell for a missing one"),
        ("forty,3,m,Ulm,7", "column 'age' is 'forty'; accepted: numbers"),
        ('"40,5",3,m,Ulm,7', "column 'age' is '40,5'; it has a decimal comma, expected a decimal point"),
        ('"40,000.5",3,m,Ulm,7', "column 'age' is '40,000.5'; write it without thousands separators"),
        ("inf,3,m,Ulm,7", "column 'age' is 'inf'; accepted: numbers"),
        ("1e18,3,m,Ulm,7", "column 'age' is '1e18'; accepted: finite numbers below 1e18"),
        ("Unknown,3,m,Ulm,7", "column 'age' is 'Unknown'; accepted: numbers"),
        ("40,-3,m,Ulm,7", "column 'visits' is '-3'; counts are whole numbers from 0"),
        ("40,2.5,m,Ulm,7", "column 'visits' is '2.5'; counts are whole numbers from 0"),
        ("40,many,m,Ulm,7", "column 'visits' is 'many'; accepted: whole numbers from 0"),
        ("40,3,x,Ulm,7", "column 'sex' is 'x'; accepted: 'f', 'm', or an empty cell for a missing one"),
        ("40,3,m,Paris,7", "column 'city' is 'Paris'; accepted: 'Köln', 'Ulm', 'Łódź', or an empty cell"),
        ("40,3,m,Ulm,6", "column 'size' is '6'; accepted: '5', '7'"),
    ],
)
def test_what_a_column_does_not_hold_is_refused_by_row_line_and_column(tmp_path, row, reason):
    path = tmp_path / "x.csv"
    with pytest.raises(DataError) as caught:
        conform(path, f'{HEADER}40,3,m,"Ulm",7\n\n{row}\n')
    message = str(caught.value)
    assert message.startswith(f"{path}: row 1 (line 4), {reason}") and message.endswith(".") and "\n" not in message


def test_a_broken_row_that_is_skipped_keeps_its_place_without_a_value(tmp_path):
    text = f"{HEADER}40,3,m,Ulm,7\n40,3,m,Paris,7\n40,3\n41,1,f,Ulm,5\n"
    found = conform(tmp_path / "x.csv", text, skip_broken=True)
    assert np.isnan(found.examples.values).all(axis=1).tolist() == [False, True, True, False]
    assert sorted(found.unreadable) == [1, 2]
    assert found.skipped == (found.unreadable[1], found.unreadable[2])
    assert "row 1 (line 3), column 'city' is 'Paris'" in found.skipped[0]
    assert "row 2 (line 4) has 2 cells, but the header has 5 columns" in found.skipped[1]
    assert drop_unreadable(found).examples.values.tolist() == [[0, 3, 1, 1, 1], [1, 1, 0, 1, 0]]


def test_a_table_whose_rows_are_all_broken_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no row can be read; the first reason: .*row 0 .line 2., column 'city'"):
        conform(tmp_path / "x.csv", f"{HEADER}40,3,m,Paris,7\n", skip_broken=True)


def test_columns_come_in_any_order_unknown_ones_are_named_and_absent_ones_refused(tmp_path):
    text = "city,extra,size,id,sex,class,visits,age\nUlm,1,7,a,m,x,3,40.5\nUlm,2,5,b,,y,4,\n"
    found = conform(tmp_path / "x.csv", text)
    np.testing.assert_array_equal(
        found.examples.values, np.array([[0.5, 3, 1, 1, 1], [np.nan, 4, np.nan, 1, 0]], np.float32)
    )
    assert found.notes == ("unknown columns are ignored: 'extra'",)
    assert found.label_names == ("x", "y") and found.examples.labels.tolist() == [0, 1]
    with pytest.raises(DataError, match=r"lacks 'sex', 'size', which the model was trained on; it has 'age', 'visits'"):
        conform(tmp_path / "x.csv", "age,visits,city\n40,1,Ulm\n")


def test_labels_that_are_whole_are_the_same_from_every_type(tmp_path):
    text = "class,age,visits,sex,city,size\n1,40,3,m,Ulm,7\n2.0,40,3,m,Ulm,7\n,40,3,m,Ulm,7\n"
    assert conform(tmp_path / "x.csv", text).label_names == ("1", "2", "(none)")


@pytest.mark.parametrize(
    ("levels", "cells", "positions"),
    [
        (("5", "7"), [5, 7.0, "5.0", Decimal(7)], [0, 1, 0, 1]),
        (("False", "True"), [True, False, "true", "FALSE"], [1, 0, 1, 0]),
        (("0", "1"), [True, 0, "1", 0.0], [1, 0, 1, 0]),
        (("0.5", "1.5"), [1.5, "0.50"], [1, 0]),
        (("05", "5"), ["05", "5", 5], [0, 1, 1]),
    ],
)
def test_a_level_is_the_same_as_a_number_a_text_or_a_truth_value(levels, cells, positions):
    columns = (Column(name="x", kind="binary", levels=levels),)
    schema = Schema(layout="table", shape=(1,), dtype="", columns=columns)
    values = conform_table(table_from_columns(Path("frame"), {"x": cells}), schema).examples.values
    assert values[:, 0].tolist() == positions


def test_the_same_table_from_csv_parquet_and_memory_is_the_same_rows(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "money": (1e6 + rng.normal(0, 1e3, 60)).round(2),
            "day": 20_230_000 + rng.integers(1, 29, 60),
            "visits": rng.negative_binomial(1, 0.2, 60),
            "flag": rng.random(60) < 0.5,
            "size": rng.choice([5, 7], 60),
            "city": rng.choice(["Ulm", "Köln", "Łódź"], 60),
            "tiny": rng.random(60) * 1e-6,
        }
    )
    frame.loc[[3, 17], ["money", "visits"]] = np.nan
    found, expected = learned_csv(tmp_path / "x.csv", frame.to_csv(index=False))
    floats = frame.astype({"day": float, "size": float})
    whole = frame.astype({"visits": "Int64"})
    for name, table in (("floats", floats), ("whole", whole)):
        table.to_parquet(tmp_path / f"{name}.parquet")
        tables = (
            read_parquet(tmp_path / f"{name}.parquet"),
            table_from_columns(Path("frame"), {column: table[column] for column in table}),
            read_csv(written(tmp_path / f"{name}.csv", table.to_csv(sep=";").encode("utf-16"))),
        )
        for raw in tables:
            assert infer_table(raw, STANDARD).schema.columns == found.schema.columns
            again = conform_table(raw, found.schema).examples.values
            np.testing.assert_array_equal(again, expected.examples.values)


# ---- arrays


def test_an_array_model_reads_the_same_numbers_from_csv_and_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    array = np.column_stack([np.linspace(-1, 1, 20), np.resize([5, 7], 20), np.full(20, 3.25)])
    columns = {f"c{index}": column for index, column in enumerate(array.T.tolist())}
    raw = RawArray(place="x.npy", values=array)
    schema = infer_array_schema(raw)
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    for path in (csv_file(tmp_path / "x.csv", columns), tmp_path / "x.parquet"):
        found = read(path, ReadingOptions(schema=schema))
        np.testing.assert_array_equal(found.examples.values, conform_array(raw, schema).examples.values)


def test_whole_numbers_become_an_integer_array_and_labels_and_indices_stay_out(tmp_path):
    text = ",a,b,class\n0,1,2,x\n1,3,4,y\n"
    raw = table_to_array(read_csv(written(tmp_path / "x.csv", text.encode())), TableOptions(label="class"))
    assert raw.values.dtype == np.int64 and raw.values.tolist() == [[1, 2], [3, 4]] and raw.labels == ["x", "y"]
    raw = table_to_array(table_from_columns(Path("frame"), {"a": [1.0, 3.0], "b": [2, 4]}))
    assert raw.values.dtype == np.float64


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "row 1 (line 3), column 'b' is missing; an array has a number in every cell"),
        ("x", "row 1 (line 3), column 'b' is 'x'; an array contains only numbers"),
        ("007", "row 1 (line 3), column 'b' is '007'; an array contains only numbers"),
    ],
)
def test_a_cell_that_is_no_number_is_refused_in_an_array(tmp_path, cell, reason):
    with pytest.raises(DataError) as caught:
        table_to_array(read_csv(written(tmp_path / "x.csv", f"a,b\n1,2\n3,{cell}\n".encode())))
    assert reason in str(caught.value)


def test_a_table_of_an_array_with_missing_cells_is_read_by_position(tmp_path):
    schema = infer_array_schema(RawArray(place="x.npy", values=np.array([[1.5, np.nan], [2.5, 1.0], [0.0, 3.0]])))
    found = conform_table(read_csv(written(tmp_path / "x.csv", b"a,b\n1.5,\n,2\n")), schema)
    np.testing.assert_array_equal(found.examples.values, np.array([[1.5, np.nan], [np.nan, 2]], np.float32))
    with pytest.raises(DataError, match="has 3 columns, but the model was trained on an array with 2"):
        conform_table(read_csv(written(tmp_path / "y.csv", b"a,b,c\n1,2,3\n")), schema)


def test_dates_that_recur_are_levels_and_written_in_iso_form():
    days = [datetime.date(2024, 1, 1 + row % 3) for row in range(9)]
    found = infer_table(table_from_columns(Path("frame"), {"day": days}), STANDARD)
    assert found.schema.columns[0].levels == ("2024-01-01", "2024-01-02", "2024-01-03")
