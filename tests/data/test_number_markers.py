"""Numbers that may mean a missing cell, such as -999, are pointed out with the setting, and stay what they are."""

import numpy as np
import pytest

from data_files import written
from lowerbound.data.files import ReadingOptions, read, to_collection
from lowerbound.data.objects import read_object
from lowerbound.data.tables import TableOptions

HEIGHTS = np.round(np.random.default_rng(0).normal(170, 9, 60), 1)


def csv_of(path, cells, decimal="."):
    lines = [f"{str(cell).replace('.', decimal)};{'ab'[row % 2]}" for row, cell in enumerate(cells)]
    return written(path / "a.csv", "\n".join(["height;kind", *lines]).encode())


def suspicions(notes):
    return [note for note in notes if "if it means missing" in note]


@pytest.mark.parametrize("marker", ["-999", "-99.0", "9999", "-9999"])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_number_far_from_the_others_that_looks_like_a_marker_is_pointed_out(tmp_path, marker, decimal):
    path = csv_of(tmp_path, [*HEIGHTS, marker, marker], decimal)
    collection = read(path)
    (note,) = suspicions(collection.notes)
    as_written = marker.replace(".", decimal)
    assert note.startswith(f"column 'height' has {int(float(marker))} in 2 cells; the others are from 1")
    assert f'data.missing_markers=["{as_written}"]' in note
    assert collection.schema.columns[0].kind == "numeric" and not np.isnan(collection.examples.values).any()
    settings = TableOptions(missing_markers=(as_written,))
    without = read(path, ReadingOptions(tables=settings))
    assert np.isnan(without.examples.values[:, 0]).sum() == 2 and not suspicions(without.notes)


@pytest.mark.parametrize("cells", [[*HEIGHTS, 999], [*range(60), 99, 99], [*HEIGHTS, -1000, -1000], [98, 99] * 30])
def test_once_or_near_others_or_not_of_nines_it_is_a_number_like_others(tmp_path, cells):
    assert not suspicions(read(csv_of(tmp_path, cells)).notes)


def test_a_column_of_a_marker_and_one_other_number_is_pointed_out_too(tmp_path):
    (note,) = suspicions(read(csv_of(tmp_path, [0, -999] * 10)).notes)
    assert "has -999 in 10 cells; the others are from 0 to 0" in note


def test_numbers_in_memory_are_to_be_replaced_with_nan():
    raw = read_object({"height": [*HEIGHTS, -999.0, -999.0], "kind": ["a", "b"] * 31})
    (note,) = suspicions(to_collection(raw, ReadingOptions()).notes)
    assert note.endswith("if it means missing, replace such cells with NaN")
