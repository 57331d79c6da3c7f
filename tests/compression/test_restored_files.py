"""Decompressed examples as files: names that lead nowhere else, and nothing that is overwritten."""

import csv

import numpy as np
import pytest
from PIL import Image

from lowerbound.compression.codec import Decompressed
from lowerbound.compression.restored_files import content_of, write_restored
from lowerbound.foundation.errors import DataError, UsageError

STREAM = np.random.default_rng(0)


def pixels(*shape, dtype=np.uint8):
    return STREAM.integers(0, np.iinfo(dtype).max, (2, *shape), dtype=dtype, endpoint=True)


@pytest.mark.parametrize(
    "values",
    [pixels(5, 4), pixels(5, 4, 1), pixels(5, 4, 2), pixels(5, 4, 3), pixels(5, 4, 4), pixels(5, 4, dtype=np.uint16)],
)
def test_pixels_are_those_of_the_png_files(values, tmp_path):
    folder = write_restored(Decompressed(values=values), tmp_path / "images")
    for name, image in zip(("0.png", "1.png"), values, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(folder / name)).reshape(image.shape), image)


def test_an_array_is_written_with_its_type(tmp_path):
    values = np.arange(12, dtype=">i4").reshape(3, 4)
    found = np.load(write_restored(Decompressed(values=values), tmp_path / "x.npy"))
    assert found.dtype == values.dtype and (found == values).all()


def test_names_are_kept_and_end_in_png(tmp_path):
    names = ("a/one.PNG", "b.jpg")
    write_restored(Decompressed(values=pixels(3, 3), names=names), tmp_path / "images")
    assert (tmp_path / "images" / "a" / "one.PNG").is_file() and (tmp_path / "images" / "b.jpg.png").is_file()


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", "", "a\n.png"])
def test_names_that_lead_out_of_the_folder_are_refused(name, tmp_path):
    with pytest.raises(DataError, match="not a name within a folder"):
        write_restored(Decompressed(values=pixels(3, 3), names=(name, "ok.png")), tmp_path / "images")
    assert not list(tmp_path.iterdir())


def test_equal_names_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"two images would be written as 'a\.png'"):
        write_restored(Decompressed(values=pixels(3, 3), names=("a.png", "a.png")), tmp_path / "images")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "images").mkdir()
    write_restored(Decompressed(values=pixels(3, 3)), tmp_path / "images")
    for place in ("images", "x.npy"):
        (tmp_path / "x.npy").touch()
        with pytest.raises(UsageError, match="exists already"):
            write_restored(Decompressed(values=pixels(3, 3)), tmp_path / place)


@pytest.mark.parametrize(
    "values", [np.zeros((2, 7)), np.zeros((2, 4, 4)), pixels(4, 4, 5), pixels(4, 4, 3, dtype=np.uint16)]
)
def test_what_a_png_cannot_contain_is_refused(values, tmp_path):
    with pytest.raises(UsageError, match=r"to a \.npy file"):
        write_restored(Decompressed(values=values), tmp_path / "images")


TABLE = Decompressed(values=np.zeros((2, 1)), columns={"a": ["1.50", ""], "b": ['x;"y"', "Zürich"]}, separator=";")


def test_a_table_is_written_with_its_own_separator(tmp_path):
    path = write_restored(TABLE, tmp_path / "x.csv")
    assert path.read_text(encoding="utf-8") == 'a;b\n1.50;"x;""y"""\n;Zürich\n'
    assert content_of(TABLE) == path.read_bytes()


def test_labels_are_written_beside_images_and_arrays(tmp_path):
    found = Decompressed(values=pixels(3, 3), names=("a.png", "b.png"), labels=("cat", "dog"))
    write_restored(found, tmp_path / "images")
    assert (tmp_path / "images" / "labels.csv").read_text() == "file,label\na.png,cat\nb.png,dog\n"
    with np.load(write_restored(found, tmp_path / "x.npz"), allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"], found.values)
        assert archive["labels"].tolist() == ["cat", "dog"]


@pytest.mark.parametrize(
    ("found", "name", "reason"),
    [
        (TABLE, "x.npy", "rows of a table"),
        (TABLE, "folder", "rows of a table"),
        (Decompressed(values=pixels(3, 3)), "x.csv", "no table"),
        (Decompressed(values=pixels(3, 3), labels=("a", "b")), "x.npy", "cannot contain the labels"),
    ],
)
def test_an_output_of_another_kind_is_refused(found, name, reason, tmp_path):
    with pytest.raises(UsageError, match=reason):
        write_restored(found, tmp_path / name)
    assert not any(tmp_path.iterdir())


def test_a_carriage_return_in_a_cell_is_quoted(tmp_path):
    found = Decompressed(values=np.zeros((2, 1)), columns={"a": ["x\ry", "z"], "b": ["1", "2"]})
    path = write_restored(found, tmp_path / "x.csv")
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["a", "b"], ["x\ry", "1"], ["z", "2"]]
