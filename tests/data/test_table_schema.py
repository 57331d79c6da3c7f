"""Each column of a training table is of the kind that its cells show, or of the one that is set."""

from pathlib import Path

import numpy as np
import pytest

from data_files import written
from lowerbound.data.table_examples import conform_table
from lowerbound.data.table_schema import infer_table
from lowerbound.data.tables import STANDARD, ColumnSetting, TableOptions, read_csv, table_from_columns
from lowerbound.foundation.errors import DataError, UnknownName
from table_files import AGES, MEASURED, NUM_ROWS, RNG, beside, csv_file, learned

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
WORDS = ["low", "middle", "high"]


def every_ninth(marker, cells):
    return [marker if row % 9 == 0 else cell for row, cell in enumerate(cells)]


def column_x(tmp_path, cells, separator=",", options=STANDARD):
    """The column x of a CSV, or None where it is left out; its values, and the notes."""
    path = csv_file(tmp_path / "x.csv", beside(cells), separator)
    found, collection = learned(read_csv(path, options), options)
    names = [column.name for column in found.schema.columns]
    if "x" not in names:
        return None, None, " ".join(found.notes)
    index = names.index("x")
    return found.schema.columns[index], collection.examples.values[:, index], " ".join(found.notes)


def test_kinds_levels_and_what_is_left_out(tmp_path):
    table = read_csv(written(tmp_path / "passengers.csv", PASSENGERS))
    found, collection = learned(table)
    kinds = {column.name: (column.kind, column.levels) for column in found.schema.columns}
    assert kinds == {
        "age": ("numeric", ()),
        "fare": ("numeric", ()),
        "class": ("binary", ("first", "third")),
        "survived": ("binary", ("no", "yes")),
        "siblings": ("count", ()),
    }
    assert found.schema.left_out == ("name", "cabin", "ship")
    for name, why in (("name", "identifiers"), ("cabin", "identifiers"), ("ship", "all its values are the same")):
        assert any(f"column {name!r} is left out: " in note and why in note for note in found.notes)
    np.testing.assert_allclose(collection.examples.values[0], [22, 7.25, 1, 0, 1])
    assert np.isnan(collection.examples.values[5, 0]) and np.isnan(collection.examples.values).sum() == 1


@pytest.mark.parametrize("marker", ["", "NA", "<NA>", "#N/A", ".", r"\N", "nan", "None", "?", "-"])
def test_what_pandas_excel_sas_and_databases_write_for_missing_is_missing(tmp_path, marker):
    column, values, notes = column_x(tmp_path, every_ninth(marker, AGES))
    assert column.kind == "numeric" and not column.missing_markers and not notes
    expected = np.array(every_ninth(np.nan, AGES), np.float32)
    np.testing.assert_array_equal(values, expected)


def test_a_few_texts_in_a_column_of_numbers_are_missing_there_and_named(tmp_path):
    cells = ["unknown" if row == 57 else age for row, age in enumerate(AGES)]
    column, values, notes = column_x(tmp_path, cells)
    assert (column.kind, column.missing_markers) == ("numeric", ("unknown",))
    assert np.flatnonzero(np.isnan(values)).tolist() == [57]
    assert "column 'x' is numeric in 199 of 200 cells; the others are read as missing: 'unknown'" in notes


def test_more_texts_than_one_in_twenty_make_a_column_of_texts(tmp_path):
    cells = ["unknown" if row % 15 == 0 else row % 5 for row in range(NUM_ROWS)]
    column, _, _ = column_x(tmp_path, cells)
    assert column.kind == "categorical" and column.levels == ("0", "1", "2", "3", "4", "unknown")


@pytest.mark.parametrize(
    ("cells", "num_levels"),
    [
        ([f"{row % 7}_{row % 5}" for row in range(NUM_ROWS)], 35),
        ([f"{row % 9}e{row % 4}" for row in range(NUM_ROWS)], 36),
        ([f"{row % 30:03d}" for row in range(NUM_ROWS)], 30),
    ],
)
def test_codes_are_levels_and_not_numbers(tmp_path, cells, num_levels):
    column, _, _ = column_x(tmp_path, cells)
    assert column.kind == "categorical" and set(column.levels) == set(cells) and column.num_levels == num_levels


def test_postal_codes_padded_with_zeros_are_identifiers(tmp_path):
    column, _, notes = column_x(
        tmp_path, [f"{code:05d}" for code in RNG.choice(np.arange(500, 99_999), NUM_ROWS, False)]
    )
    assert column is None and "200 different values look like identifiers" in notes


@pytest.mark.parametrize(
    ("cell", "hint"),
    [("1,234,{:03d}", "write it without thousands separators"), ("{},5", "it has a decimal comma")],
)
def test_a_column_of_texts_that_look_like_numbers_is_named_with_the_reason(tmp_path, cell, hint):
    cells = [f'"{cell.format(100 + row % 5)}"' for row in range(NUM_ROWS)]
    column, _, notes = column_x(tmp_path, cells)
    assert column.kind == "categorical" and f"its cells look like numbers: {hint}" in notes


def test_small_floats_as_python_writes_them_are_numbers(tmp_path):
    cells = (RNG.random(NUM_ROWS) * 1e-4).tolist()
    column, values, _ = column_x(tmp_path, cells)
    assert any("e-" in str(cell) for cell in cells) and column.kind == "numeric"
    np.testing.assert_array_equal(values, np.array(cells, np.float32))


def test_decimal_commas_are_found_out_where_the_separator_is_another_character(tmp_path):
    cells = [f"{cell:.1f}".replace(".", ",") for cell in MEASURED]
    path = csv_file(tmp_path / "x.csv", {"x": cells, "n": AGES}, ";")
    found, collection = learned(read_csv(path))
    assert found.schema.decimal == "," and found.schema.columns[0].kind == "numeric"
    np.testing.assert_array_equal(collection.examples.values[:, 0], np.array(MEASURED, np.float32))


def test_decimal_commas_beside_decimal_points_are_refused_unless_one_is_set(tmp_path):
    cells = [f"{cell:.1f}".replace(".", ",") for cell in MEASURED]
    path = csv_file(tmp_path / "x.csv", beside(cells), ";")
    with pytest.raises(DataError, match=r"decimal commas in column 'x' and decimal points in column 'other'"):
        infer_table(read_csv(path), STANDARD)
    options = TableOptions(decimal=".")
    kinds = {column.name for column in infer_table(read_csv(path, options), options).schema.columns}
    assert "other" in kinds
    assert infer_table(read_csv(path), TableOptions(exclude=("x",))).schema.decimal == "."


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("inf", "numbers must be finite"),
        ("-Infinity", "numbers must be finite"),
        ("1e300", "numbers must be below 1e18"),
        ("1e400", "numbers must be finite"),
        ("1000000000000000000", "numbers must be below 1e18"),
    ],
)
def test_numbers_that_are_not_finite_or_too_large_are_refused_by_row_and_column(tmp_path, cell, reason):
    cells = [cell if row == 5 else age for row, age in enumerate(AGES)]
    path = csv_file(tmp_path / "x.csv", beside(cells))
    with pytest.raises(DataError) as caught:
        infer_table(read_csv(path), STANDARD)
    assert f"row 5 (line 7), column 'x' is '{cell}'; {reason}" in str(caught.value)
    assert 'or exclude the column: set data.exclude=["x"]' in str(caught.value)
    assert len(infer_table(read_csv(path), TableOptions(exclude=("x",))).schema.columns) == 1


@pytest.mark.parametrize("cell", [b"bytes", [1, 2], {"a": 1}, 1j, float("inf"), 10**400])
def test_values_that_no_column_holds_are_refused_and_can_be_excluded(cell):
    table = table_from_columns(Path("frame"), {"x": [cell, 1.0, 2.0], "a": [1.0, 2.5, 3.0]})
    with pytest.raises(DataError, match=r"^frame: row 0, column 'x' is .*exclude=\[\"x\"\]\.$"):
        infer_table(table, STANDARD)
    assert [column.name for column in infer_table(table, TableOptions(exclude=("x",))).schema.columns] == ["a"]


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("order", [np.arange(NUM_ROWS), RNG.permutation(NUM_ROWS)])
def test_numbers_that_count_the_rows_are_left_out(tmp_path, start, order):
    column, _, notes = column_x(tmp_path, order + start)
    assert column is None and f"it numbers the rows from {start} to {NUM_ROWS - 1 + start}" in notes


def test_an_index_without_a_name_is_left_out_and_another_column_without_one_is_kept(tmp_path):
    index = RNG.choice(100_000, NUM_ROWS, replace=False)  # of a part of some frame
    path = csv_file(tmp_path / "x.csv", {"": index, "a": MEASURED})
    found = infer_table(read_csv(path), STANDARD)
    assert found.schema.left_out == ("column 1",) and "an index" in " ".join(found.notes)
    path = csv_file(tmp_path / "y.csv", {"a": MEASURED, "": AGES})
    assert [column.name for column in infer_table(read_csv(path), STANDARD).schema.columns] == ["a", "column 2"]


def test_measurements_that_happen_to_be_whole_are_not_counts(tmp_path):
    measured, _, _ = column_x(tmp_path, RNG.normal(125, 17, NUM_ROWS).round().astype(int))
    counted, _, _ = column_x(tmp_path, RNG.negative_binomial(2, 0.1, NUM_ROWS))
    assert (measured.kind, counted.kind) == ("numeric", "count")


def test_a_parquet_text_is_a_text_even_where_it_looks_like_a_number():
    cells = [str(row % 5) for row in range(NUM_ROWS)]
    found = infer_table(table_from_columns(Path("frame"), beside(cells)), STANDARD)
    assert (found.schema.columns[0].kind, found.schema.columns[0].levels) == ("categorical", ("0", "1", "2", "3", "4"))


def test_most_decimals_of_a_column_are_kept_in_the_schema(tmp_path):
    column, _, _ = column_x(tmp_path, [f"{cell:.2f}" for cell in RNG.normal(size=NUM_ROWS)])
    whole, _, _ = column_x(tmp_path, AGES)
    assert (column.decimals, whole.decimals) == (2, 0)


def test_an_offset_is_taken_off_before_numbers_are_rounded_to_32_bits(tmp_path):
    days = [20_230_101 + row % 28 for row in range(NUM_ROWS)]
    column, values, _ = column_x(tmp_path, days)
    np.testing.assert_allclose(values.astype(np.float64) + column.offset, days, atol=1e-5)
    assert column.offset != 0 and int(np.float32(20_230_303)) != 20_230_303  # the reason


# ---- what is set


def set_x(tmp_path, cells, **setting):
    return column_x(tmp_path, cells, options=TableOptions(columns={"x": ColumnSetting(**setting)}))[0]


def test_a_kind_that_is_set_goes_before_what_cells_tell(tmp_path):
    assert set_x(tmp_path, AGES, kind="count").kind == "count"
    assert set_x(tmp_path, np.arange(NUM_ROWS), kind="numeric").kind == "numeric"
    assert set_x(tmp_path, [f"{row % 9:03d}" for row in range(NUM_ROWS)], kind="numeric").kind == "numeric"
    levels = set_x(tmp_path, [row % 5 + 1 for row in range(NUM_ROWS)], kind="categorical").levels
    assert levels == ("1", "2", "3", "4", "5")


def test_levels_that_are_set_keep_their_order(tmp_path):
    cells = [WORDS[row % 2] for row in range(NUM_ROWS)]
    column = set_x(tmp_path, cells, levels=("high", "middle", "low"))
    assert (column.kind, column.levels) == ("categorical", ("high", "middle", "low"))


@pytest.mark.parametrize(
    ("setting", "cells", "reason"),
    [
        ({"kind": "numeric"}, [1, "forty", 3], "row 1 (line 3), column 'x' is 'forty'; it is not a number"),
        ({"kind": "count"}, [1, 2.5, 3], "row 1 (line 3), column 'x' is '2.5'; counts are whole numbers from 0"),
        ({"kind": "count"}, [1, -2, 3], "row 1 (line 3), column 'x' is '-2'; counts are whole numbers from 0"),
        ({"kind": "binary"}, ["a", "b", "c"], "row 2 (line 4), column 'x' is 'c'; a binary column has 2"),
        ({"levels": ("a", "b")}, ["a", "b", "c"], "row 2 (line 4), column 'x' is 'c'; the levels set are 'a', 'b'"),
    ],
)
def test_a_cell_that_does_not_fit_what_is_set_is_refused_by_row_and_column(tmp_path, setting, cells, reason):
    with pytest.raises(DataError) as caught:
        set_x(tmp_path, cells, **setting)
    assert reason in str(caught.value)


def test_markers_that_are_set_replace_the_usual_ones(tmp_path):
    cells = ["-99" if row % 9 == 0 else "NA" if row % 9 == 1 else row % 3 for row in range(NUM_ROWS)]
    column, values, _ = column_x(tmp_path, cells, options=TableOptions(missing_markers=("-99",)))
    assert column.levels == ("0", "1", "2", "NA")
    assert np.isnan(values).tolist() == [cell == "-99" for cell in cells]


@pytest.mark.parametrize(
    "options", [TableOptions(exclude=("othre",)), TableOptions(columns={"othre": ColumnSetting(kind="numeric")})]
)
def test_a_column_that_is_set_or_excluded_must_be_there(options):
    with pytest.raises(UnknownName, match="unknown column 'othre'; did you mean 'other'"):
        infer_table(table_from_columns(Path("frame"), beside(AGES)), options)


def test_a_table_with_nothing_to_learn_from_is_refused_with_the_reasons(tmp_path):
    path = written(tmp_path / "x.csv", b"a,b\n1,2\n1,2\n")
    with pytest.raises(DataError, match="no usable column; column 'a' is left out: all its values are the same"):
        infer_table(read_csv(path), STANDARD)


GARAGES = ["None", "Attached", "Detached", "none"] * (NUM_ROWS // 4)


def test_a_marker_in_a_column_of_texts_is_noted_and_in_one_of_numbers_it_is_not(tmp_path):
    column, _, notes = column_x(tmp_path, GARAGES)
    assert column.levels == ("Attached", "Detached")
    assert f"has 'None', 'none' in {NUM_ROWS // 2} cells, read as missing (to keep such text, set " in notes
    assert not column_x(tmp_path, ["NA", *AGES[1:]])[2]


def test_a_marker_that_is_a_level_is_kept_at_training_and_later(tmp_path):
    options = TableOptions(columns={"x": ColumnSetting(levels=("None", "Attached", "Detached"))})
    path = csv_file(tmp_path / "x.csv", beside(GARAGES))
    found, collection = learned(read_csv(path, options), options)
    np.testing.assert_array_equal(collection.examples.values[:4, 0], [0, 1, 2, np.nan])
    assert f"has 'none' in {NUM_ROWS // 4} cells" in " ".join(found.notes)
    later = conform_table(read_csv(path), found.schema)
    np.testing.assert_array_equal(later.examples.values, collection.examples.values)


@pytest.mark.parametrize("markers", [(), ("",)])
def test_only_empty_cells_are_missing_where_no_marker_is_set(tmp_path, markers):
    column, values, notes = column_x(tmp_path, ["", *GARAGES[1:]], options=TableOptions(missing_markers=markers))
    assert column.levels == ("Attached", "Detached", "None", "none") and np.isnan(values).sum() == 1
    assert "missing" not in notes


def test_numbers_of_too_small_a_spread_are_refused_and_constant_columns_left_out(tmp_path):
    path = csv_file(tmp_path / "x.csv", beside([cell * 1e-25 for cell in MEASURED]))
    with pytest.raises(DataError, match=r"vary by less than 1e-18 in column 'x'; multiply the column, or exclude"):
        infer_table(read_csv(path), STANDARD)
    assert "all its values are the same" in column_x(tmp_path, [1e-25] * NUM_ROWS)[2]


@pytest.mark.parametrize(
    ("cell", "setting", "kind"),
    [
        ("inf", ColumnSetting(), "numeric"),
        ("1e300", ColumnSetting(), "numeric"),
        ("forty", ColumnSetting(kind="numeric"), "numeric"),
        ("-3", ColumnSetting(kind="count"), "count"),
    ],
)
def test_a_broken_row_is_skipped_at_training_as_it_is_later(tmp_path, cell, setting, kind):
    options = TableOptions(skip_broken=True, columns={"x": setting})
    cells = [cell, *RNG.normal(50, 10, NUM_ROWS - 1).round(0 if kind == "count" else 1)]
    table = read_csv(csv_file(tmp_path / "x.csv", beside(cells)))
    found = infer_table(table, options)
    assert found.schema.columns[0].kind == kind
    assert list(conform_table(table, found.schema, skip_broken=True).unreadable) == [0]


@pytest.mark.parametrize("cells", [["1,100", "2,107", "999"], ["1,100", "1,100", "1,100"]])
def test_a_comma_that_may_separate_thousands_is_refused_until_the_sign_is_set(tmp_path, cells):
    path = csv_file(tmp_path / "x.csv", beside((cells * NUM_ROWS)[:NUM_ROWS]) | {"other": AGES}, ";")
    with pytest.raises(DataError, match=r"numbers such as '1,100' in column 'x', whose comma is ambiguous"):
        infer_table(read_csv(path), STANDARD)
    assert infer_table(read_csv(path, options := TableOptions(decimal=",")), options).schema.decimal == ","
    clear = csv_file(tmp_path / "y.csv", beside(["0,125", "1,100"] * (NUM_ROWS // 2)) | {"other": AGES}, ";")
    assert infer_table(read_csv(clear), STANDARD).schema.decimal == ","


def test_a_point_that_may_separate_thousands_is_noted_where_commas_do_not_separate_cells(tmp_path):
    cells = ["1.100", "2.107", "3.114", "998"] * (NUM_ROWS // 4)
    notes = [
        " ".join(infer_table(read_csv(csv_file(tmp_path / "x.csv", columns, separator)), STANDARD).notes)
        for columns, separator in (
            ({"x": cells, "n": AGES}, ";"),
            ({"x": cells, "n": AGES}, ","),
            (beside(cells), ";"),
        )
    ]
    assert "'1.100' is read as 1.1 (if the point separates thousands" in notes[0] and notes[1:] == ["", ""]


def test_levels_that_differ_only_in_case_are_pointed_out_and_stay_apart(tmp_path):
    rows = {
        "n": [*range(0, 80, 2)],
        "x": ["Yes", "yes", "No", "maybe"] * 10,
        "y": ["a", "A"] * 20,
        "z": ["a", "b"] * 20,
    }
    found = infer_table(read_csv(csv_file(tmp_path / "x.csv", rows), STANDARD), STANDARD)
    notes = [note for note in found.notes if "differ only in case" in note]
    assert [note[:10] for note in notes] == ["column 'x'", "column 'y'"]
    assert "such as 'Yes', 'yes': if they are one, write them alike" in notes[0]
    assert [column.num_levels for column in found.schema.columns[1:]] == [4, 2, 2]


@pytest.mark.parametrize("first", [1000, 1960, 2])
def test_numbers_that_may_only_count_the_rows_are_pointed_out_and_kept(tmp_path, first):
    rows = {"id": [*range(first, first + 40)], "gaps": [*range(0, 80, 2)], "twice": [*range(1000, 1020)] * 2}
    found = infer_table(read_csv(csv_file(tmp_path / "x.csv", rows), STANDARD), STANDARD)
    (note,) = (note for note in found.notes if "once each" in note)
    assert note.startswith(f"column 'id' counts from {first} to {first + 39}") and 'data.exclude=["id"]' in note
    assert [column.name for column in found.schema.columns] == ["id", "gaps", "twice"]


@pytest.mark.parametrize("options", [STANDARD, TableOptions(columns={"x": ColumnSetting(kind="numeric")})])
def test_quoted_decimal_commas_between_commas_are_refused_with_the_setting_that_reads_them(tmp_path, options):
    path = tmp_path / "x.csv"
    path.write_text("\n".join(["x", *(f'"{value},5"' for value in range(40))]) + "\n")
    with pytest.raises(DataError, match=r'for a decimal comma set data\.decimal=","'):
        infer_table(read_csv(path, options), options)
    found = infer_table(read_csv(path, TableOptions(decimal=",")), TableOptions(decimal=","))
    assert [column.kind for column in found.schema.columns] == ["numeric"]
