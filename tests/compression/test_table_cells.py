"""Cells of a table to levels and texts, and back to exactly what was written."""

from dataclasses import replace

import numpy as np
import pytest

from coded_tables import KINDS, coded_table_run, written_table
from lowerbound.coding.table_coding import MISSING, CodedColumn
from lowerbound.compression.table_cells import (
    levels_of_table,
    packed_texts,
    restored_texts,
    stored_problem,
    table_of_rows,
)
from lowerbound.data.objects import read_object
from lowerbound.data.tables import read_csv
from lowerbound.foundation.errors import DataError, UsageError
from lowerbound.runs.inputs import read_inputs
from untrained_models import untrained


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The cells of a table, a model of it, and its levels, how they are written, and its texts."""
    folder = tmp_path_factory.mktemp("people")
    cells = written_table(folder / "people.csv")
    trained = coded_table_run(folder / "run", folder / "people.csv")
    assert {column.name: column.kind for column in trained.schema.columns} == KINDS
    return cells, trained, *levels_of_table(read_csv(folder / "people.csv"), trained.schema)


def test_levels_are_numbers_in_steps_of_their_decimals(people):
    cells, trained, levels, stored, _ = people
    at = [column.name for column in trained.schema.columns].index("income")
    column = stored.columns[at]
    assert column.decimals == 2 and stored.styles[at] == "fixed" and stored.missing[at] in ("NA", "")
    written = [row[2] for row in cells[1:]]
    expected = [MISSING if text in ("NA", "") else round(float(text) * 100) - column.low for text in written]
    assert levels[:, at].tolist() == expected
    assert (levels.max(0) < [one.num_levels for one in stored.columns]).all()


def test_texts_are_restored_as_they_were(people):
    cells, trained, levels, stored, texts = people
    for rows in (slice(0, 120), slice(30, 31), slice(5, 50)):
        some = {name: column[rows] for name, column in texts.items()}
        packed = packed_texts(some, levels[rows], stored, trained.schema.columns)
        found = restored_texts(packed, levels[rows], stored, trained.schema.columns)
        assert list(found) == cells[0]
        assert [list(row) for row in zip(*found.values(), strict=True)] == cells[1:][rows]


def test_only_what_levels_do_not_say_is_packed(people):
    _, trained, levels, stored, texts = people
    usual = {column.name: texts[column.name] for column in trained.schema.columns}
    rows = np.flatnonzero([int(name[2:]) % 9 and int(name[2:]) % 8 for name in texts["id"]])
    some = {name: [column[row] for row in rows] for name, column in usual.items()}
    only = replace(stored, names=tuple(usual))
    assert packed_texts(some, levels[rows], only, trained.schema.columns) == b""


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: b"\x00" * 40, lambda packed: b"1"])
def test_damaged_texts_are_refused(people, damage):
    _, trained, levels, stored, texts = people
    packed = packed_texts(texts, levels, stored, trained.schema.columns)
    with pytest.raises(DataError, match="texts"):
        restored_texts(damage(packed), levels, stored, trained.schema.columns)
    with pytest.raises(DataError, match="not those of its rows"):
        restored_texts(packed, levels[:5], stored, trained.schema.columns)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"columns": ()}, "another number of columns"),
        ({"names": ("id", "age")}, "lacks columns"),
        ({"names": ("age",) * 7}, "lacks columns"),
        ({"columns": (CodedColumn(num_levels=0),) * 5}, "levels that the column 'age' cannot have"),
        ({"columns": (CodedColumn(num_levels=5, decimals=99),) * 5}, "levels that the column 'age' cannot have"),
        ({"columns": (CodedColumn(num_levels=5, missing=-1),) * 5}, "levels that the column 'age' cannot have"),
        ({"columns": (CodedColumn(num_levels=5, low=3),) * 5}, "levels that the column 'kids' cannot have"),
    ],
)
def test_a_header_that_does_not_fit_the_model_is_refused(people, change, reason):
    _, trained, _, stored, _ = people
    assert stored_problem(stored, trained.schema.columns) == ""
    assert reason in stored_problem(replace(stored, **change), trained.schema.columns)


def test_numbers_of_too_many_digits_and_large_counts_are_refused(people):
    columns = {
        "age": [30, 40],
        "income": [1.5, 2.5],
        "kids": [1, 2],
        "member": ["no", "yes"],
        "town": ["Bern", "Bern"],
    }
    for name, cells, reason in (
        ("income", [0.1234567890123456, 1e6], "column 'income' has numbers of too many digits"),
        ("kids", [1, 100_000], "column 'kids' has the count 100,000"),
    ):
        table = read_object(columns | {name: cells}, place="the table")
        with pytest.raises(DataError, match=reason):
            levels_of_table(table, people[1].schema)


def test_an_array_with_missing_cells_has_no_levels(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    values[3, 1] = np.nan
    np.save(tmp_path / "x.npy", values)
    trained = untrained(str(tmp_path / "x.npy"))
    with pytest.raises(UsageError, match="array with missing cells"):
        levels_of_table(read_object({"0": [1.0]}, place="the table"), trained.schema)


def test_the_runs_own_rows_have_the_digits_that_were_stored(people):
    cells, trained, *_ = people
    table = table_of_rows(read_inputs(trained, []))
    own = {row[2] for row in cells[1:]}
    assert {f"{float(text):.2f}" for text in table.columns["income"] if text} <= own | {"10000.00"}


@pytest.mark.parametrize(
    ("cells", "style"),
    [
        (["1.50", "2.00", "3.25", "0.75"], "fixed"),
        (["1.5", "2", "3.25", "0.75"], "shortest"),
        (["1.5", "2.0", "3.25", "0.75"], "float"),
        (["1.0", "5.0", "3.0", "9.0"], "float"),
    ],
)
def test_the_usual_way_of_writing_numbers_costs_nothing(cells, style, tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{cell},{float(i % 2)}\n" for i, cell in enumerate(cells * 20)))
    trained = untrained(str(tmp_path / "x.csv"))
    levels, stored, texts = levels_of_table(read_csv(tmp_path / "x.csv"), trained.schema)
    assert stored.styles == (style, "float")
    assert packed_texts(texts, levels, stored, trained.schema.columns) == b""
    assert restored_texts(b"", levels, stored, trained.schema.columns) == texts
