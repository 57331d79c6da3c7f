"""Array files become the examples they hold, or one line that says why not."""

import gzip
import struct
import tracemalloc
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from data_files import IMAGES, RNG, idx_bytes, refusal, saved, written
from lowerbound.data import arrays as array_files
from lowerbound.data.arrays import read_idx
from lowerbound.data.examples import Examples
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.reading import Limit
from lowerbound.data.sources import DataConfig, load

read_idx_images = partial(read_idx, num_axes=3)


def npy_header(shape: tuple[int, ...]) -> bytes:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    return saved(np.lib.format.write_array_header_1_0, header)


def read_array(folder: Path, array: np.ndarray) -> Examples:
    return read(written(folder / "array.npy", saved(np.save, array))).examples


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_an_idx_file_round_trips_whatever_its_name(tmp_path, name, compress):
    path = written(tmp_path / name, compress(idx_bytes(IMAGES)))
    np.testing.assert_array_equal(read_idx(path, 3), IMAGES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "begins with nothing"),
        (idx_bytes(IMAGES)[:9], "ends within its IDX header"),
        (idx_bytes(IMAGES)[:-1], "6×4×5 = 120 bytes, but only 119 follow"),
        (idx_bytes(IMAGES) + b"x", "but more follow"),
        (idx_bytes(IMAGES[:, 0, 0]), "begins with 00 00 08 01, an IDX file of 3 axes with 00 00 08 03"),
        (b"\0\0\x0d\3" + idx_bytes(IMAGES)[4:], "begins with 00 00 0d 03"),
        (idx_bytes(IMAGES[:0]), "is empty: its shape is 0×4×5"),
        (gzip.compress(idx_bytes(IMAGES))[:-9], "is damaged"),
        (gzip.compress(idx_bytes(IMAGES))[:-8] + bytes(8), "CRC"),
    ],
)
def test_a_damaged_idx_file_is_refused_with_the_reason(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path / "images", content), read=read_idx_images)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (2**16, 2**8, 2**8)], ids=["2^96 bytes", "4 GiB"])
def test_no_room_is_made_for_what_an_idx_header_only_claims(tmp_path, compress, shape):
    path = written(tmp_path / "images", compress(struct.pack(">4B3I", 0, 0, 8, 3, *shape) + bytes(1000)))
    tracemalloc.start()
    assert "it is damaged" in refusal(path, read=read_idx_images)
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20  # the peak, in bytes
    tracemalloc.stop()


def test_nan_in_a_table_is_a_missing_cell(tmp_path):
    array = RNG.normal(size=(6, 3))
    array[2, 1] = np.nan
    examples = read_array(tmp_path, array)
    assert examples.layout == "table" and [column.kind for column in examples.columns] == ["numeric"] * 3
    assert examples.support.has_missing and np.isnan(examples.values).sum() == 1


def test_safetensors_hold_data_and_labels_under_the_names_of_an_npz(tmp_path):
    tensors = {"images": IMAGES, "labels": np.array([3, 1, 1, 3, 7, 7]), "other": np.zeros(3, np.float32)}
    collection = read(written(tmp_path / "data.safetensors", safetensors.numpy.save(tensors)))
    np.testing.assert_array_equal(collection.examples.values, IMAGES)
    np.testing.assert_array_equal(collection.examples.labels, [1, 0, 0, 1, 2, 2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is damaged"),
        (struct.pack("<Q", 2**40) + b"{}", "declares a header of 1,099,511,627,776 bytes"),
        (safetensors.numpy.save({"x": IMAGES})[:-1], "does not match its data"),
        (
            struct.pack("<Q", 62) + b'{"x":{"dtype":"U8","shape":[4,5],"data_offsets":[0,9000000]}}  ',
            "does not match its data",
        ),
        (
            struct.pack("<Q", 62) + b'{"x":{"dtype":"F8","shape":[4,5],"data_offsets":[0,20]     }} ',
            "contains 'x' as F8",
        ),
    ],
)
def test_a_damaged_safetensors_file_is_refused(tmp_path, content, reason):
    assert reason in refusal(written(tmp_path / "x.safetensors", content))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array(1.0), "contains a single number; give N of them, along axis 0"),
        (np.zeros((0, 4, 5)), "is empty: its shape is 0×4×5"),
        (np.zeros((6, 4, 0)), "is empty: its shape is 6×4×0"),
        (np.zeros((6, 3, 32, 32)), "6×3×32×32, which looks like N×C×H×W; give N×H×W×C"),
        (np.full((6, 4, 5), np.nan), "example 0, element 0,0 is nan; missing values are accepted only in tables N×D"),
        (np.where(np.arange(120).reshape(6, 4, 5) == 119, np.nan, 0.5), "example 5, element 3,4 is nan"),
        (np.full((6, 4), np.nan), "has no value in column 0"),
        (np.array([[np.nan, np.inf], [1, 2]]), "example 0, element 1 is inf; accepted: finite numbers"),
        (np.full((6, 4, 5), -np.inf), "example 0, element 0,0 is -inf"),
        (np.full((6, 4), 1e300), "contains numbers from 1e+300 to 1e+300; accepted: those below 1e18"),
        (np.full((6, 4), -(2**62)), "accepted: those below 1e18"),
        (np.zeros((6, 4, 5), complex), "values of type complex128"),
        (np.zeros((6, 4, 5), "U3"), "values of type <U3"),
        (np.zeros((6, 4, 5), "M8[s]"), "values of type datetime64[s]"),
        (np.zeros((6, 4, 5), [("red", "u1"), ("blue", "u1")]), "values of type [('red'"),
        (b"", "is damaged"),
        (saved(np.save, IMAGES)[:-1], "6×4×5 values = 120 bytes, but 119 follow"),
        (saved(np.save, IMAGES) + b"x", "but 121 follow"),
        (npy_header((10**9, 10**9)), "= 1,000,000,000,000,000,000 bytes, but 0 follow"),
        (npy_header((-2, -3, 4)) + bytes(24), "is empty: its shape is -2×-3×4"),
        (npy_header((7,)).replace(b"(7,)", b"(" + b"7" * 5000 + b",)"), "is damaged"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "has .npy version 2.0; accepted: 1.0"),
        (b"PK\x03\x04" + bytes(100), "is damaged"),
    ],
)
def test_an_array_file_that_holds_no_examples_is_refused_with_what_to_do(tmp_path, array, reason):
    content = array if isinstance(array, bytes) else saved(np.save, array)
    assert reason in refusal(written(tmp_path / "images.npy", content))


def test_a_pickle_is_never_read(tmp_path):
    pickled = np.array([{}], object)
    content = saved(np.save, pickled)
    assert "pickled" in refusal(written(tmp_path / "images.npy", content))
    assert "pickled" in refusal(written(tmp_path / "images.npz", saved(np.savez_compressed, images=pickled)))
    refusal(written(tmp_path / "pickle.npy", content[content.index(b"\x80") :]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_single_array_is_the_images_under_any_name(tmp_path, save):
    save(tmp_path / "images.npz", anything=IMAGES)
    collection = read(tmp_path / "images.npz")
    np.testing.assert_array_equal(collection.examples.values, IMAGES)
    assert collection.examples.labels is None and collection.label_names == ()


@pytest.mark.parametrize("image_key", array_files.DATA_KEYS)
@pytest.mark.parametrize("label_key", array_files.LABEL_KEYS)
def test_labels_are_numbered_in_order_and_keep_their_names(tmp_path, image_key, label_key):
    arrays = {image_key: IMAGES, label_key: np.array([30, -1, 7, 30, 7, 7]), "other": np.zeros(3)}
    collection = read(written(tmp_path / "images.npz", saved(np.savez_compressed, **arrays)))
    np.testing.assert_array_equal(collection.examples.labels, [2, 0, 1, 2, 1, 1])
    assert collection.label_names == ("-1", "7", "30")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "contains no arrays"),
        ({"a": IMAGES, "b": IMAGES}, "contains 'a', 'b'; accepted: one array, or data under one of"),
        ({"images": IMAGES, "labels": np.zeros(5, int)}, "shape 5; accepted: 6 integers"),
        ({"images": IMAGES, "labels": np.zeros((6, 10), int)}, "shape 6×10"),
        ({"images": IMAGES, "labels": np.full(6, 0.5)}, "labels of type float64"),
        ({"images": IMAGES[:0], "labels": np.zeros(0, int)}, "is empty"),
    ],
)
def test_an_archive_whose_arrays_do_not_fit_is_refused(tmp_path, arrays, reason):
    assert reason in refusal(written(tmp_path / "images.npz", saved(np.savez_compressed, **arrays)))


def test_an_archive_member_that_claims_more_than_deflate_can_hold_is_refused_unread(tmp_path):
    content = bytearray(saved(np.savez_compressed, images=IMAGES))
    stated = content.index(b"PK\x01\x02") + 24  # where the directory states the uncompressed size
    content[stated : stated + 4] = struct.pack("<I", 2**32 - 2)
    path = written(tmp_path / "images.npz", bytes(content))
    assert "declares 4,294,967,294 bytes for 'images.npy'" in refusal(path)


def test_an_archive_member_over_the_limit_is_refused_unread(tmp_path, monkeypatch):
    million = np.zeros((100, 100, 100), np.uint8)
    path = written(tmp_path / "images.npz", saved(np.savez_compressed, images=million))
    assert len(read(path).examples) == 100
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it was read"))
    message = refusal(path, read=lambda path: read(path, ReadingOptions(limit=Limit(10**6 - 1))))
    assert "unpacks to 977 KiB, but the limit is 977 KiB; raise the limit data.max_gib to 1" in message


def test_an_archive_in_an_unusual_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", saved(np.save, IMAGES))
    assert "unsupported compression" in refusal(tmp_path / "images.npz")


# ---- splits in one file


def numbers(first: int, num: int, dtype=np.uint8) -> np.ndarray:
    """Images of 8 x 8, each filled with a number of its own."""
    return np.broadcast_to(np.arange(first, first + num, dtype=dtype)[:, None, None], (num, 8, 8))


NAMES_OF_SPLITS = {
    "Keras": ("x_{}", "y_{}", "train", "", "test"),
    "Keras with validation": ("x_{}", "y_{}", "train", "valid", "test"),
    "MedMNIST": ("{}_images", "{}_labels", "train", "val", "test"),
    "upper case": ("X_{}", "Y_{}", "train", "val", "test"),
    "alone": ("{}", "", "train", "validation", "test"),
    "without a test": ("x_{}", "y_{}", "train", "val", ""),
}


@pytest.mark.parametrize("kind", NAMES_OF_SPLITS)
@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_the_splits_of_a_file_are_kept(tmp_path, kind, suffix):
    data_name, label_name, *names = NAMES_OF_SPLITS[kind]
    arrays, sizes = {}, {}
    for split, name, first, num in zip(("train", "validation", "test"), names, (0, 100, 200), (40, 5, 7), strict=True):
        if name:
            arrays[data_name.format(name)] = values = numbers(first, num)
            sizes[split] = sorted(values[:, 0, 0].tolist())
            if label_name:
                arrays[label_name.format(name)] = (values[:, :1, 0] // 100).astype(np.int64)
    save = np.savez_compressed if suffix == "npz" else None
    path = tmp_path / f"data.{suffix}"
    shuffled = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays, reverse=True)}
    content = saved(save, **shuffled) if save else safetensors.numpy.save(shuffled)
    splits = load(DataConfig(source=str(written(path, content))))
    found = {
        name: sorted(getattr(splits, name).values[:, 0, 0, 0].tolist()) for name in ("train", "validation", "test")
    }
    assert "predefined splits: " + ", ".join(f"{name} {len(of)}" for name, of in sizes.items()) in splits.notes
    if len(sizes) == 3:
        assert found == sizes
    else:  # a tenth of the training examples stands in for the one that is not given
        (missing,) = set(found) - set(sizes)
        assert len(found[missing]) == 4 and sorted(found["train"] + found[missing]) == sizes["train"]
    if label_name:
        for part in (splits.train, splits.validation, splits.test):
            assert [splits.label_names[at] for at in part.labels] == [str(n // 100) for n in part.values[:, 0, 0, 0]]


def test_dsprites_are_read_without_its_pickled_metadata(tmp_path):
    imgs = RNG.integers(0, 2, (10, 64, 64), np.uint8)
    arrays = {"metadata": np.array({"author": "x"}, object), "imgs": imgs, "latents_values": np.zeros((10, 6))}
    path = written(tmp_path / "dsprites.npz", saved(np.savez_compressed, **arrays))
    collection = read(path)
    np.testing.assert_array_equal(collection.examples.values[..., 0], imgs)
    assert collection.examples.layout == "image" and collection.examples.support.is_binary
    assert "not used: metadata, latents_values" in collection.notes


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x_train": numbers(0, 9), "x_test": numbers(0, 9)[:, :4]}, "train uint8 8×8; test uint8 4×8"),
        ({"x_train": numbers(0, 9), "x_test": numbers(0, 9, np.int64)}, "train uint8 8×8; test int64 8×8"),
        ({"x_train": numbers(0, 9), "y_train": np.arange(9), "x_test": numbers(0, 9)}, "no labels for its split test"),
        (
            {"x_train": numbers(0, 9), "y_train": np.arange(8), "x_test": numbers(0, 9), "y_test": np.arange(9)},
            "shape 8",
        ),
        (
            {"x_test": numbers(0, 9), "y_test": np.arange(9)},
            "contains 'x_test', 'y_test'; accepted: one array, or data",
        ),
    ],
)
def test_splits_that_do_not_fit_each_other_are_refused(tmp_path, arrays, reason):
    assert reason in refusal(written(tmp_path / "images.npz", saved(np.savez_compressed, **arrays)))
