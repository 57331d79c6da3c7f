"""Tables become rows of numbers, each column of the kind that its cells show."""

import numpy as np
import pytest

from data_files import refusal, written
from lowerbound.data.files import ReadingOptions, read
from lowerbound.schema import Column

PASSENGERS = b"""name,age,fare,class,survived,siblings,cabin,ship
Braund,22,7.25,third,no,1,,Titanic
Cumings,38,71.2833,first,yes,1,C85,Titanic
Heikkinen,26,7.925,third,yes,0,,Titanic
Futrelle,35,53.1,first,yes,1,C123,Titanic
Allen,35,8.05,third,no,0,NA,Titanic
Moran,,8.4583,third,no,0,?,Titanic
McCarthy,54,51.8625,first,no,0,E46,Titanic
Palsson,2,21.075,third,no,7,nan,Titanic
"""


def columns_of(collection):
    return {column.name: column for column in collection.examples.columns}


def test_each_column_is_of_the_kind_that_its_cells_show(tmp_path):
    collection = read(written(tmp_path / "passengers.csv", PASSENGERS))
    columns = columns_of(collection)
    assert columns == {
        "age": Column(name="age", kind="count"),
        "fare": Column(name="fare", kind="numeric"),
        "class": Column(name="class", kind="binary", levels=("first", "third")),
        "survived": Column(name="survived", kind="binary", levels=("no", "yes")),
        "siblings": Column(name="siblings", kind="count"),
    }
    left_out = " ".join(collection.notes)
    for name, why in (("name", "identifiers"), ("cabin", "identifiers"), ("ship", "all its values are the same")):
        assert f"column {name} is left out: " in left_out and why in left_out
    np.testing.assert_allclose(collection.examples.values[0], [22, 7.25, 1, 0, 1])
    assert np.isnan(collection.examples.values[5, 0])


def test_whole_numbers_that_vary_less_than_a_count_are_measurements(tmp_path):
    rows = "\n".join(f"{1990 + i},{i * i}" for i in range(20))
    columns = columns_of(read(written(tmp_path / "x.csv", f"year,visits\n{rows}\n".encode())))
    assert columns["year"].kind == "numeric" and columns["visits"].kind == "count"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_out_and_quotes_and_a_byte_order_mark_are_understood(tmp_path, separator):
    lines = [["a", "b"], ["1.5", '"x, y"'], ["2.5", "z"], ["-1", '"x, y"'], ["0.25", "w"], ["9", "w"]]
    text = "\ufeff" + "\r\n".join(separator.join(line) for line in lines)
    columns = columns_of(read(written(tmp_path / "x.csv", text.encode())))
    assert list(columns) == ["a", "b"]
    assert "x, y" in columns["b"].levels


def test_a_column_can_be_the_label_and_is_then_no_part_of_a_row(tmp_path):
    path = written(tmp_path / "passengers.csv", PASSENGERS)
    collection = read(path, ReadingOptions(labels="class"))
    assert "class" not in columns_of(collection)
    assert collection.label_names == ("first", "third")
    assert collection.examples.labels.tolist() == [1, 0, 1, 0, 1, 1, 0, 1]
    assert "has no column 'ticket' for labels; it has 'name', 'age'" in refusal(
        path, read=lambda path: read(path, ReadingOptions(labels="ticket"))
    )


def test_new_rows_are_read_by_the_names_of_the_columns_and_unknown_levels_are_missing(tmp_path):
    columns = tuple(read(written(tmp_path / "passengers.csv", PASSENGERS)).examples.columns)
    new = written(
        tmp_path / "new.csv", b"fare,extra,siblings,class,age,survived\n9.5,1,2,second,41,yes\n,2,x,first,,no\n"
    )
    values = read(new, ReadingOptions(columns=columns)).examples.values
    np.testing.assert_allclose(values, [[41, 9.5, np.nan, 1, 2], [np.nan, np.nan, 0, 0, np.nan]])
    lacking = written(tmp_path / "lacking.csv", b"fare,age\n9.5,41\n")
    assert "lacks 'class', 'survived', 'siblings', which the model was trained on" in refusal(
        lacking, read=lambda path: read(path, ReadingOptions(columns=columns))
    )


def test_a_parquet_file_reads_as_the_same_table_in_csv(tmp_path):
    pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    source = written(tmp_path / "passengers.csv", PASSENGERS)
    parquet.write_table(csv.read_csv(source), tmp_path / "passengers.parquet")
    expected, found = read(source), read(tmp_path / "passengers.parquet")
    assert found.examples.columns == expected.examples.columns
    np.testing.assert_array_equal(found.examples.values, expected.examples.values)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has a column without a name"),
        (b"a,b\n", "has no rows"),
        (b"a,,c\n1,2,3\n", "has a column without a name"),
        (b"a,b,a\n1,2,3\n", "has 'a' twice"),
        (b"1,2,3\n4,5,6\n", "begins with numbers; its first line must name the columns"),
        (b"a,b\n1,2\n3\n", "has 1 cells in line 3, where its header names 2 columns"),
        (b"a,b\n1,2\n1,2\n", "has no column to learn from; column a is left out: all its values are the same"),
        (b"a,b\n\xff\xfe,2\n", "is not a CSV table, or it is damaged"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_refused(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path / "x.csv", content))


def test_a_damaged_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    assert "is not a Parquet table, or it is damaged" in refusal(written(tmp_path / "x.parquet", b"PAR1nothing"))
