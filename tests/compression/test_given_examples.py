"""What is given to be compressed: rows, arrays and files with their names and labels; other things are refused."""

import numpy as np
import pandas as pd
import pytest

from coded_arrays import coded_run
from coded_tables import coded_table_run, written_table
from lowerbound.compression.given_examples import given_examples
from lowerbound.foundation.errors import DataError, LowerboundError, UsageError


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    written_table(folder / "people.csv")
    return coded_table_run(folder / "run", folder / "people.csv"), folder


def test_a_file_and_a_data_frame_have_the_same_levels(people):
    trained, folder = people
    of_file = given_examples(trained, folder / "people.csv", "", False)
    frame = pd.read_csv(folder / "people.csv")
    of_frame = given_examples(trained, frame, "", False)
    np.testing.assert_array_equal(of_frame.levels, of_file.levels)
    assert of_frame.table.names == of_file.table.names and of_file.texts["age"] == of_frame.texts["age"]


def test_rows_that_the_columns_do_not_accept_are_refused(people):
    trained, folder = people
    frame = pd.read_csv(folder / "people.csv", dtype=str)
    with pytest.raises(DataError, match="'Paris'"):
        given_examples(trained, frame.replace("Bern", "Paris"), "", False)
    with pytest.raises(LowerboundError, match="lacks 'town'"):
        given_examples(trained, frame.drop(columns="town"), "", False)


def test_a_table_needs_rows_of_one_table(people):
    trained, folder = people
    with pytest.raises(UsageError, match="takes one: a DataFrame"):
        given_examples(trained, np.zeros((3, 5)), "", False)
    with pytest.raises(UsageError, match="several inputs"):
        given_examples(trained, [folder / "people.csv", folder / "people.csv"], "", False)
    np.save(folder / "x.npy", np.zeros((3, 5)))
    with pytest.raises(UsageError, match="is not a table"):
        given_examples(trained, folder / "x.npy", "", False)


def test_labels_are_kept_where_there_are_some(tmp_path):
    trained, values = coded_run(tmp_path / "run", "discretized-logistic")
    np.savez(tmp_path / "x.npz", x=values, y=np.arange(len(values)) % 3)
    found = given_examples(trained, tmp_path / "x.npz", "", True)
    assert found.labels == tuple(str(index % 3) for index in range(len(values)))
    assert given_examples(trained, tmp_path / "x.npz", "", False).labels == ()
    assert found.units.shape == values.shape[1:] and found.units.dtype == values.dtype.str
    np.savez(tmp_path / "flat.npz", x=values[..., 0].astype(np.int16))
    flat = given_examples(trained, tmp_path / "flat.npz", "", False)
    assert flat.units.shape == values.shape[1:3] and flat.units.dtype == "<i2"
    np.testing.assert_array_equal(flat.levels, found.levels)
    with pytest.raises(UsageError, match="no labels"):
        given_examples(trained, values, "", True)
