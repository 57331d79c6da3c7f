"""Factors of variation, given with examples in memory, in a table of their own, or as columns of the data's table."""

import csv

import numpy as np
import pytest
from PIL import Image

from lowerbound.data.factors import encode_factors
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.sources import DataConfig, load, split_array
from lowerbound.foundation.errors import ConfigError, DataError

NUM = 40
SHAPES = ["square", "heart"] * (NUM // 2)
SIZES = [0.5 + 0.25 * (row % 3) for row in range(NUM)]
VALUES = np.random.default_rng(0).integers(0, 256, (NUM, 6, 6)).astype(np.uint8)
TABLE = {"shape": SHAPES, "size": SIZES}


def write_csv(path, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def by_example(splits):
    """The factors of every example, by its bytes."""
    parts = (splits.train, splits.validation, splits.test)
    return {
        np.asarray(value).tobytes(): tuple(
            levels[code] for levels, code in zip(part.factors.levels, codes, strict=True)
        )
        for part in parts
        for value, codes in zip(part.values, part.factors.codes.tolist(), strict=True)
    }


def expected(values=VALUES, columns=TABLE):
    rows = zip(*columns.values(), strict=True)
    return {value.tobytes(): row for value, row in zip(values[..., np.newaxis], rows, strict=True)}


@pytest.mark.parametrize(
    "factors", [TABLE, [dict(zip(TABLE, row, strict=True)) for row in zip(SHAPES, SIZES, strict=True)]],
    ids=["columns", "rows"],
)  # fmt: skip
def test_factors_in_memory_stay_with_their_examples(factors):
    splits = split_array(VALUES, factors=factors)
    assert splits.test.factors.names == ("shape", "size")
    assert by_example(splits) == expected()


def test_an_array_of_factors_has_numbered_columns():
    factors = np.stack([np.arange(NUM) % 4, np.arange(NUM) % 3], axis=1)
    splits = split_array(VALUES, factors=factors)
    assert splits.train.factors.names == ("factor 1", "factor 2")
    assert by_example(splits) == expected(columns=dict(enumerate(factors.T.astype(float).tolist())))


def test_the_checksum_and_the_splits_are_those_without_factors():
    assert split_array(VALUES, factors=TABLE).checksum == split_array(VALUES).checksum


def test_factors_of_an_array_are_read_from_a_table_in_order(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    table = write_csv(tmp_path / "factors.csv", TABLE)
    splits = load(DataConfig(source=str(tmp_path / "x.npy"), factors=(str(table),)))
    assert by_example(splits) == expected()


def test_factors_of_images_are_found_by_file_name(tmp_path):
    (tmp_path / "images").mkdir()
    for row, image in enumerate(VALUES):
        Image.fromarray(image).save(tmp_path / "images" / f"{row:02}.png")
    order = np.random.default_rng(1).permutation(NUM)
    shuffled = {name: [cells[row] for row in order] for name, cells in TABLE.items()}
    table = write_csv(tmp_path / "f.csv", {"file": [f"{row:02}.png" for row in order], **shuffled})
    splits = load(DataConfig(source=str(tmp_path / "images"), factors=(str(table),)))
    assert splits.test.factors.names == ("shape", "size")
    assert by_example(splits) == expected()
    short = write_csv(tmp_path / "g.csv", {"file": ["00.png"], "size": [1]})
    with pytest.raises(DataError, match=r"g.csv has no row for 01.png; give one for every image"):
        load(DataConfig(source=str(tmp_path / "images"), factors=(str(short),)))


def test_columns_of_a_table_that_are_factors_are_not_part_of_x(tmp_path):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=NUM).tolist(), **TABLE, "b": rng.normal(size=NUM).tolist()}
    table = write_csv(tmp_path / "t.csv", columns)
    collection = read(table, ReadingOptions(factors=("shape", "size")))
    assert [column.name for column in collection.schema.columns] == ["a", "b"]
    factors = collection.examples.factors
    assert [factors.levels[0][code] for code in factors.codes[:, 0]] == SHAPES
    assert [factors.levels[1][code] for code in factors.codes[:, 1]] == SIZES
    in_memory = split_array(columns, factors=["shape", "size"])
    assert in_memory.train.factors.names == ("shape", "size")
    assert [column.name for column in in_memory.schema.columns] == ["a", "b"]


def test_rows_that_are_skipped_take_their_factors_with_them(tmp_path):
    values = VALUES.astype(float) / 255
    values[3, 0, 0] = np.inf
    np.save(tmp_path / "x.npy", values)
    table = write_csv(tmp_path / "f.csv", TABLE)
    collection = read(tmp_path / "x.npy", ReadingOptions(factors=(str(table),), skip_broken=True))
    assert len(collection.examples) == NUM - 1
    factors = collection.examples.factors
    assert [factors.levels[1][code] for code in factors.codes[:, 1]] == [*SIZES[:3], *SIZES[4:]]


def test_many_numbers_are_divided_into_intervals_and_levels_are_in_order():
    numbers = np.random.default_rng(0).uniform(0, 1, 500)
    factors, notes = encode_factors(
        "x", {"angle": numbers.tolist(), "size": [10, 9, 10.0, "2", True][:4] * 125}, range(500)
    )
    assert notes == ("factor 'angle': 500 different numbers, divided into 20 intervals",)
    counts, _ = np.histogram(numbers, 20)
    assert np.bincount(factors.codes[:, 0]).tolist() == counts.tolist()
    assert factors.levels[1] == (2.0, 9.0, 10.0)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"size": SIZES[:5]}, "has 40 examples and 5 values of factor 'size'; give one for each"),
        ({"size": [None, *SIZES[1:]]}, "has no value of factor 'size' for example 0; give one for every example"),
        ({"size": [np.inf, *SIZES[1:]]}, "has inf as factor 'size' of example 0; accepted: finite numbers"),
        (np.zeros((NUM, 2, 2)), "has factors of shape 40×2×2; give a table, or an array of examples × factors"),
        (["shape"], "is not a table that has columns of factors; give a table of factors"),
    ],
)
def test_factors_that_do_not_fit_are_refused_in_a_line(factors, message):
    with pytest.raises(DataError, match=message) as refused:
        split_array(VALUES, factors=factors)
    assert "\n" not in str(refused.value)


def test_texts_that_are_all_different_are_no_factor():
    with pytest.raises(DataError, match="has 101 different texts as factor 'id', but the limit is 100"):
        encode_factors("x", {"id": [f"row {row}" for row in range(101)]}, range(101))


def test_what_data_factors_accepts_is_said(tmp_path):
    np.save(tmp_path / "x.npy", VALUES)
    with pytest.raises(ConfigError, match=r"accepted: the path of a .csv, .tsv or .parquet table"):
        load(DataConfig(source=str(tmp_path / "x.npy"), factors=("shape", "size")))
    with pytest.raises(DataError, match=r"none.csv does not exist"):
        load(DataConfig(source=str(tmp_path / "x.npy"), factors=(str(tmp_path / "none.csv"),)))
    with pytest.raises(ConfigError, match="a named source has its own factors, if any; leave it out"):
        load(DataConfig(factors=("shape",)))
    table = write_csv(tmp_path / "t.csv", {"a": list(range(NUM)), **TABLE})
    with pytest.raises(DataError, match="has no column 'form' for factors"):
        load(DataConfig(source=str(table), factors=("form", "size")))
