"""Parquet files: damage, and columns stored as dictionaries."""

import pytest

from data_files import refusal, written
from lowerbound.data.parquet import read_parquet


def test_a_damaged_parquet_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    path = written(tmp_path / "x.parquet", b"PAR1nothing")
    assert "is not a Parquet table, or it is damaged" in refusal(path, read=read_parquet)


def test_a_parquet_dictionary_of_numbers_holds_texts(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"class": pandas.Categorical([1, 3, 1]), "a": [1, 2, 3]})
    frame.to_parquet(tmp_path / "x.parquet")
    assert read_parquet(tmp_path / "x.parquet").columns == {"class": ["1", "3", "1"], "a": [1, 2, 3]}
