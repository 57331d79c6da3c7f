"""Names, files and folders become splits that are disjoint, complete and repeatable."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from data_files import (
    idx_bytes,
    idx_contents,
    message_of,
    numbered_images,
    parts,
    positions,
    write_idx,
    written,
)
from lowerbound.data import sources
from lowerbound.data.idx_downloads import IDX_FILES
from lowerbound.data.reading import refuse
from lowerbound.data.sources import SOURCES, DataConfig, Source, digits, load
from lowerbound.foundation.errors import ConfigError, DataError, UnknownName

HAS_MNIST = Path(os.environ.get("LOWERBOUND_DATA", "/nowhere"), "mnist").is_dir()
needs_mnist = pytest.mark.skipif(not HAS_MNIST, reason="LOWERBOUND_DATA names no folder with mnist/ in it")


def as_rows(*examples: sources.Examples) -> list[bytes]:
    """One value per example: its image and its label."""
    return sorted(
        image.tobytes() + (b"" if part.labels is None else part.labels[i].tobytes())
        for part in examples
        for i, image in enumerate(part.values)
    )


def test_splits_do_not_depend_on_global_random_state():
    np.random.seed(1)  # noqa: NPY002
    first = load(DataConfig(source="digits"))
    np.random.seed(2)  # noqa: NPY002
    assert load(DataConfig(source="digits")).checksum == first.checksum


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_says_where_it_comes_from_and_under_which_licence(name):
    source = SOURCES[name]
    assert source.name == name
    assert source.origin and source.licence and source.range
    assert source.licence in source.load.__doc__
    assert f"{source.sizes[0]:,} / {source.sizes[1]:,} / {source.sizes[2]:,}" in source.load.__doc__


def test_digits_are_split_as_stated_into_disjoint_parts_of_the_whole():
    splits = load(DataConfig(source="digits"))
    assert tuple(map(len, parts(splits))) == SOURCES["digits"].sizes == (1257, 180, 360)
    assert all(part.event_shape == (1, 8, 8) and part.max_value == 16 for part in parts(splits))
    assert splits.label_names == tuple("0123456789")
    assert splits.monitored == "validation" and "Alpaydin" in splits.source
    digits = load_digits()
    whole = sources.Examples(digits.images.astype(np.uint8)[..., None], 16.0, digits.target.astype(np.int64))
    assert as_rows(*parts(splits)) == as_rows(whole)


def test_equal_split_seeds_give_equal_splits_and_others_do_not():
    first, again, other = (load(DataConfig(source="digits", split_seed=seed)) for seed in (3, 3, 4))
    assert first.checksum == again.checksum != other.checksum
    np.testing.assert_array_equal(first.test.values, again.test.values)
    assert as_rows(*parts(first)) == as_rows(*parts(other))


def test_watching_the_test_split_trains_on_the_held_out_images_too_and_tests_on_the_same():
    held_out = load(DataConfig(source="digits"))
    watching = load(DataConfig(source="digits", validation="test"))
    assert watching.monitored == "test" and watching.validation is watching.test
    assert as_rows(watching.test) == as_rows(held_out.test)
    assert as_rows(watching.train) == as_rows(held_out.train, held_out.validation)


@needs_mnist
def test_mnist_has_55000_training_5000_held_out_and_the_official_10000_test_images():
    splits = load(DataConfig(source="mnist"))
    assert tuple(map(len, parts(splits))) == SOURCES["mnist"].sizes == (55_000, 5_000, 10_000)
    assert all(part.event_shape == (1, 28, 28) and part.values.dtype == np.uint8 for part in parts(splits))
    # The test images keep the official order, which begins with these labels.
    assert splits.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    training_labels = np.concatenate([splits.train.labels, splits.validation.labels])
    official = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(training_labels).tolist() == official
    # The mean grey level of the official 60,000, known from countless normalisations: 0.1307.
    total = sum(float(part.values.sum(dtype=np.int64)) for part in (splits.train, splits.validation))
    assert round(total / (60_000 * 784 * 255), 4) == 0.1307


@needs_mnist
def test_mnist_watched_on_its_test_images_trains_on_60000():
    splits = load(DataConfig(source="mnist", validation="test"))
    assert tuple(map(len, parts(splits))) == (60_000, 10_000, 10_000)
    assert splits.monitored == "test"


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (IDX_FILES[1], idx_bytes(np.zeros(23, np.uint8)), "contains 23 labels, but"),
        (IDX_FILES[1], idx_bytes(np.full(24, 10, np.uint8)), "contains the label 10; accepted: 0..9"),
        (IDX_FILES[2], idx_bytes(np.zeros((5, 4, 4), np.uint8)), "has another image size"),
        (IDX_FILES[3], b"", "begins with nothing"),
        (IDX_FILES[0], gzip.compress(idx_contents()[IDX_FILES[0]], mtime=0)[:-3], "is damaged"),
    ],
)
def test_idx_files_that_do_not_fit_each_other_are_refused(tmp_path, cache, file, content, reason):
    folder = write_idx(tmp_path / "mnist", idx_contents())
    (folder / file).write_bytes(content)
    message = message_of(DataError, DataConfig(source="mnist", data_dir=str(tmp_path)))
    assert message.startswith(str(folder / file)) and reason in message


@pytest.mark.parametrize("source", ["digits", "sprites", "."])
def test_a_folder_of_idx_files_is_refused_for_what_reads_none(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    message = message_of(ConfigError, DataConfig(source=source, data_dir="idx"))
    assert "data.data_dir is for sources that are IDX files, such as mnist" in message and "leave it out" in message


def test_a_folder_brings_its_labels_into_every_split(tmp_path):
    for name, value in (("cat", 10), ("dog", 20)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (3, 2), value).save(tmp_path / "pets" / name / f"{i}.png")
    splits = load(DataConfig(source=str(tmp_path / "pets")))
    assert splits.name == "pets" and splits.source == "pets"  # reports name no place on this machine
    assert splits.label_names == ("cat", "dog")
    assert all(positions(part) == (10 * (part.labels + 1)).tolist() for part in parts(splits))


def test_too_few_images_to_split_are_refused(tmp_path, cache):
    config = DataConfig(source=str(numbered_images(tmp_path / "images.npy", 2)))
    assert "contains 2 examples; train, validation and test need at least 3" in message_of(DataError, config)
    write_idx(tmp_path / "mnist", idx_contents(num_train=1))
    assert "need at least 2" in message_of(DataError, DataConfig(source="mnist", data_dir=str(tmp_path)))


def test_a_name_goes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert len(load(DataConfig(source="digits")).train) == 1257
    assert "contains no images" in message_of(DataError, DataConfig(source="./digits"))


@pytest.mark.parametrize(("source", "nearest"), [("mnits", "mnist"), ("fashion_mnist", "fashion-mnist")])
def test_an_unknown_name_is_answered_with_the_nearest(source, nearest):
    message = message_of(UnknownName, DataConfig(source=source))
    assert f"did you mean {nearest!r}?" in message
    assert "the path of a file or folder" in message


@pytest.mark.parametrize("source", ["", "nul\0l", "x" * 5000])
def test_what_can_be_neither_a_name_nor_a_path_is_an_unknown_name(source):
    assert "accepted: digits," in message_of(UnknownName, DataConfig(source=source))


def test_choices_that_the_data_leave_no_room_for_are_refused(tmp_path):
    rows = written(tmp_path / "rows.csv", b"a,b\n1.5,2.5\n2.5,0.1\n0.3,7.7\n")
    message = message_of(DataError, DataConfig(source=str(rows), size="64x48"))
    assert "contains no image files, and only image files are resized; remove data.size '64x48'" in message
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5, 1), np.uint8))
    message = message_of(DataError, DataConfig(source=str(tmp_path / "a.npy"), labels="labels.csv"))
    assert "cannot take labels from labels.csv" in message
    assert len(load(DataConfig(source=str(tmp_path / "a.npy"), size="5x4")).train) == 1


def test_what_is_collected_is_what_is_loaded_and_the_same_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(60, dtype=np.uint8).reshape(3, 4, 5, 1))
    assert len(sources.collect(DataConfig(source=str(tmp_path / "a.npy"))).examples) == 3
    assert len(sources.collect(DataConfig(source="digits")).examples) == 1257
    with pytest.raises(UnknownName, match="unknown data source 'digit'; did you mean 'digits'"):
        sources.collect(DataConfig(source="digit"))
    with pytest.raises(ConfigError, match=r"data\.size is '3x'; accepted: WIDTHxHEIGHT"):
        sources.collect(DataConfig(source=str(tmp_path), size="3x"))


@pytest.mark.parametrize("source", ["images/none", "none.npy", "~nobody-of-this-name/images", "two\nlines.npy"])
def test_a_path_that_does_not_exist_is_said_to_be_neither(source):
    message = message_of(DataError, DataConfig(source=source))
    assert "is not a readable file or folder, nor one of digits, mnist" in message


def a_source(load):
    return Source("waves", (4,), "-1..1", (8, 1, 1), "drawn", "none", load)


def without_a_schema(config):
    pool = digits(config)
    return replace(pool, collection=replace(pool.collection, schema=None))


NONSENSE = {
    "raises": (a_source(lambda config: {}["x"]), "source 'waves' failed: KeyError: 'x'."),
    "an array": (
        a_source(lambda config: np.zeros((9, 4))),
        "source 'waves' failed: TypeError: load returned a ndarray instead of a Pool.",
    ),
    "nothing": (
        a_source(lambda config: None),
        "source 'waves' failed: TypeError: load returned a NoneType instead of a Pool.",
    ),
    "no schema": (
        a_source(without_a_schema),
        "source 'waves' returned a pool without a schema; make its collection with to_collection.",
    ),
    "an order beyond its examples": (
        a_source(lambda config: replace(digits(config), order=np.arange(9_999))),
        "source 'waves' failed: IndexError: index",
    ),
    "its own refusal": (a_source(lambda config: refuse("waves", "holds no waves")), "waves holds no waves"),
    "a function": (lambda config: None, "SOURCES['waves'] is a function instead of a Source."),
}


@pytest.mark.parametrize(("source", "reason"), NONSENSE.values(), ids=NONSENSE)
def test_a_source_of_your_own_that_fails_is_named_in_one_line(monkeypatch, source, reason):
    monkeypatch.setitem(SOURCES, "waves", source)
    with pytest.raises(DataError) as refusal:
        load(DataConfig(source="waves"))
    assert str(refusal.value).startswith(reason)
