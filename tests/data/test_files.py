"""Files become the images they hold, or one line that says why not."""

import gzip
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from PIL import Image

from lowerbound.data import files
from lowerbound.data.files import Examples, read_folder, read_idx, read_images
from lowerbound.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 4, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (4, 5, 3), np.uint8)
read_idx_images = partial(read_idx, num_axes=3)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def saved(save: Callable[..., None], *args: object, **kwargs: object) -> bytes:
    """What `save` writes when it is given a file first."""
    file = io.BytesIO()
    save(file, *args, **kwargs)
    return file.getvalue()


def npy_header(shape: tuple[int, ...]) -> bytes:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    return saved(np.lib.format.write_array_header_1_0, header)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read_array(folder: Path, array: np.ndarray) -> Examples:
    return read_images(written(folder / "images.npy", saved(np.save, array))).examples


def refusal(path: Path, named: Path | None = None, read: Callable[[Path], object] = read_images) -> str:
    """The one line with which `path` is refused; it begins with the name of the file to blame."""
    with pytest.raises(DataError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(named or path)) and message.endswith(".") and "\n" not in message
    return message


def test_a_subset_keeps_images_and_labels_together_and_shares_nothing_with_the_whole():
    whole = Examples(IMAGES[..., np.newaxis].copy(), 255.0, np.arange(6))
    part = whole.subset(np.array([4, 1]))
    assert len(part) == 2 and part.event_shape == (1, 4, 5)  # channels first, as in torch
    np.testing.assert_array_equal(part.images[..., 0], IMAGES[[4, 1]])
    np.testing.assert_array_equal(part.labels, [4, 1])
    assert not np.shares_memory(part.images, whole.images)


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


@pytest.mark.parametrize("shape", [(6, 4, 5), (6, 4, 5, 1), (6, 4, 5, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.dtype(">i4"), np.uint16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_integers_up_to_255_are_8_bit_images(tmp_path, shape, dtype, order):
    values = RNG.integers(0, 256, shape)
    examples = read_array(tmp_path, values.astype(dtype, order=order))
    assert examples.images.dtype == np.uint8 and examples.max_value == 255.0
    np.testing.assert_array_equal(examples.images, values.reshape(6, 4, 5, -1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.dtype(">f8")])
def test_floats_in_the_unit_interval_are_taken_as_they_are(tmp_path, dtype):
    examples = read_array(tmp_path, values := RNG.random((6, 4, 5)).astype(dtype))
    assert examples.images.dtype == np.float32 and examples.max_value == 1.0
    np.testing.assert_array_equal(examples.images[..., 0], values.astype(np.float32))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_zeros_and_ones_are_black_and_white_not_two_shades_of_black(tmp_path, dtype):
    values = RNG.integers(0, 2, (6, 4, 5))
    examples = read_array(tmp_path, values.astype(dtype))
    assert examples.max_value == 1.0
    np.testing.assert_array_equal(examples.images[..., 0], values)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((6, 20)), "holds a table of 6×20; give images N×H×W or N×H×W×C"),
        (np.array(1.0), "holds an array of 0 axes"),
        (np.zeros((6, 4, 5, 3, 1)), "holds an array of 5 axes"),
        (np.zeros((0, 4, 5)), "is empty: its shape is 0×4×5"),
        (np.zeros((6, 4, 0)), "is empty: its shape is 6×4×0"),
        (np.zeros((6, 3, 32, 32)), "6×3×32×32, it seems N×C×H×W; give N×H×W×C"),
        (np.full((6, 4, 5), np.nan), "holds NaN or infinity"),
        (np.where(np.arange(120).reshape(6, 4, 5) == 119, np.nan, 0.5), "holds NaN or infinity"),
        (np.full((6, 4, 5), np.inf), "holds NaN or infinity"),
        (np.full((6, 4, 5), 200.0), "floats from 200.0 to 200.0; accepted are those in [0, 1]: divide by"),
        (np.linspace(-1, 1, 120).reshape(6, 4, 5), "floats from -1.0 to 1.0; accepted are those in [0, 1]"),
        (np.full((6, 4, 5), 256), "integers from 256 to 256; accepted are 0..255"),
        (np.full((6, 4, 5), -1), "integers from -1 to -1"),
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
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", "has .npy version 2.0, accepted is 1.0"),
        (b"PK\x03\x04" + bytes(100), "is damaged"),
    ],
)
def test_an_array_file_that_holds_no_images_is_refused_with_what_to_do(tmp_path, array, reason):
    content = array if isinstance(array, bytes) else saved(np.save, array)
    assert reason in refusal(written(tmp_path / "images.npy", content))


def test_a_pickle_is_never_read(tmp_path):
    pickled = np.array([{}], object)
    content = saved(np.save, pickled)
    assert "pickled" in refusal(written(tmp_path / "images.npy", content))
    assert "pickled" in refusal(written(tmp_path / "images.npz", saved(np.savez_compressed, images=pickled)))
    refusal(written(tmp_path / "pickle.npy", content[content.index(b"\x80\x04") :]))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_single_array_is_the_images_under_any_name(tmp_path, save):
    save(tmp_path / "images.npz", anything=IMAGES)
    collection = read_images(tmp_path / "images.npz")
    np.testing.assert_array_equal(collection.examples.images[..., 0], IMAGES)
    assert collection.examples.labels is None and collection.label_names == ()


@pytest.mark.parametrize("image_key", files.IMAGE_KEYS)
@pytest.mark.parametrize("label_key", files.LABEL_KEYS)
def test_labels_are_numbered_in_order_and_keep_their_names(tmp_path, image_key, label_key):
    arrays = {image_key: IMAGES, label_key: np.array([30, -1, 7, 30, 7, 7]), "other": np.zeros(3)}
    collection = read_images(written(tmp_path / "images.npz", saved(np.savez_compressed, **arrays)))
    np.testing.assert_array_equal(collection.examples.labels, [2, 0, 1, 2, 1, 1])
    assert collection.label_names == ("-1", "7", "30")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({}, "holds no arrays"),
        ({"a": IMAGES, "b": IMAGES}, "holds 'a', 'b'; accepted are one array, or images under one of"),
        ({"images": IMAGES, "labels": np.zeros(5, int)}, "shape 5; accepted are 6 integers"),
        ({"images": IMAGES, "labels": np.zeros((6, 10), int)}, "shape 6×10"),
        ({"images": IMAGES, "labels": np.zeros(6)}, "labels of type float64"),
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
    assert "claims 4,294,967,294 bytes for 'images.npy'" in refusal(path)


def test_an_archive_member_over_the_limit_is_refused_unread(tmp_path, monkeypatch):
    million = np.zeros((100, 100, 100), np.uint8)
    path = written(tmp_path / "images.npz", saved(np.savez_compressed, images=million))
    assert len(read_images(path).examples) == 100
    monkeypatch.setattr(files, "MAX_BYTES", 10**6)
    assert "claims 1,000,128 bytes for 'images.npy'" in refusal(path)


def test_an_archive_in_an_unusual_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "images.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("images.npy", saved(np.save, IMAGES))
    assert "compressed in an unusual way" in refusal(tmp_path / "images.npz")


def save_images(folder: Path, images: dict[str, Image.Image]) -> Path:
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    return folder


def grey(value: int, size: tuple[int, int] = (5, 4)) -> Image.Image:
    return Image.new("L", size, value)


def test_labels_are_the_names_of_the_subfolders_and_images_come_in_the_order_of_their_paths(tmp_path):
    images = {"dog/b.png": grey(3), "cat/z.PNG": grey(2), "dog/a.png": grey(4), "cat/y.png": grey(1)}
    collection = read_folder(save_images(tmp_path, images))
    assert collection.examples.images[:, 0, 0, 0].tolist() == [1, 2, 4, 3]
    assert collection.examples.labels.tolist() == [0, 0, 1, 1]
    assert collection.label_names == ("cat", "dog")


@pytest.mark.parametrize(
    "names",
    [("a.png", "b.png"), ("a.png", "cat/b.png"), ("all/a.png", "all/b.png"), ("x/cat/a.png", "x/dog/b.png")],
    ids=["flat", "not all in subfolders", "one subfolder", "two levels"],
)
def test_there_are_no_labels_where_subfolders_do_not_name_classes(tmp_path, names):
    collection = read_folder(save_images(tmp_path, {name: grey(0) for name in names}))
    assert collection.examples.labels is None and collection.label_names == ()


def test_hidden_files_and_other_kinds_of_file_are_passed_over(tmp_path):
    save_images(tmp_path, {"a.png": grey(1), ".cache/b.png": grey(2), "._c.png": grey(3)})
    written(tmp_path / "README.txt", b"Images of nothing.")
    assert read_folder(tmp_path).examples.images[:, 0, 0, 0].tolist() == [1]


RGB = Image.fromarray(COLOUR)
RGBA = Image.fromarray(np.dstack([COLOUR, COLOUR[..., 0]]))
GREY = RGB.convert("L")
PALETTE = RGB.quantize(4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (GREY, np.asarray(GREY)[..., np.newaxis]),
        (RGB, COLOUR),
        (RGBA, COLOUR),
        (Image.merge("LA", [GREY, GREY]), np.asarray(GREY)[..., np.newaxis]),
        (PALETTE, np.asarray(PALETTE.convert("RGB"))),
        (GREY.point(lambda value: 255 * (value > 99), "1"), 255 * (np.asarray(GREY) > 99)[..., np.newaxis]),
    ],
    ids=["grey", "RGB", "RGB with alpha", "grey with alpha", "palette", "black and white"],
)
def test_every_kind_of_png_becomes_grey_or_rgb_without_alpha(tmp_path, image, expected):
    examples = read_folder(save_images(tmp_path, {"a.png": image})).examples
    np.testing.assert_array_equal(examples.images[0], expected)
    assert examples.max_value == 255.0


def test_grey_and_colour_together_become_rgb(tmp_path):
    images = read_folder(save_images(tmp_path, {"a.png": grey(7), "b.png": RGB})).examples.images
    np.testing.assert_array_equal(images, [np.full((4, 5, 3), 7), COLOUR])


def test_a_jpeg_is_read_to_within_its_own_loss(tmp_path):
    images = read_folder(save_images(tmp_path, {"a.jpg": grey(100), "b.JPEG": grey(200)})).examples.images
    np.testing.assert_allclose(images[:, 0, 0, 0], [100, 200], atol=2)


def test_16_bit_grey_keeps_its_precision_as_floats(tmp_path):
    values = RNG.integers(0, 2**16, (4, 5), np.uint16)
    values[0, :2] = 0, 65535
    examples = read_folder(save_images(tmp_path, {"a.png": Image.fromarray(values)})).examples
    assert examples.max_value == 1.0
    np.testing.assert_array_equal(examples.images[0, ..., 0], values.astype(np.float32) / np.float32(65535))


def test_16_and_8_bits_in_one_folder_are_refused(tmp_path):
    save_images(tmp_path, {"a.png": grey(0), "b.png": Image.fromarray(np.zeros((4, 5), np.uint16))})
    assert "has 16 bits a pixel" in refusal(tmp_path, named=tmp_path / "b.png")


def test_images_of_different_sizes_are_refused_with_both_sizes(tmp_path):
    save_images(tmp_path, {"a.png": grey(0), "b.png": grey(0, (6, 3)), "c.png": grey(0, (7, 7))})
    both = f"is 6 pixels wide and 3 high, but {tmp_path / 'a.png'} is 5 pixels wide and 4 high; resize"
    assert both in refusal(tmp_path, named=tmp_path / "b.png")


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", saved(RGB.save, "png")[:60], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n"],
)
def test_a_broken_image_is_named(tmp_path, content):
    save_images(tmp_path, {"a.png": RGB})
    broken = written(tmp_path / "b.png", content)
    assert "is not a PNG or JPEG image, or it is damaged" in refusal(tmp_path, named=broken)


@pytest.mark.parametrize("limit", [9, 14], ids=["an error", "a warning"])
def test_what_pillow_takes_for_a_decompression_bomb_is_refused(tmp_path, monkeypatch, limit):
    save_images(tmp_path, {"a.png": RGB})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert "exceeds limit of" in refusal(tmp_path, named=tmp_path / "a.png")


def test_a_folder_that_decodes_to_more_than_the_limit_is_refused(tmp_path, monkeypatch):
    save_images(tmp_path, {"a.png": RGB, "b.png": RGB})
    monkeypatch.setattr(files, "MAX_BYTES", 2 * 4 * 5 * 3 - 1)
    assert "save it as a .npy file" in refusal(tmp_path)


def test_what_is_missing_or_not_of_its_kind_is_refused(tmp_path):
    assert "holds no .png, .jpg, .jpeg files" in refusal(tmp_path)
    assert "cannot be read: Is a directory" in refusal(tmp_path, read=read_idx_images)
    for read in (read_folder, read_idx_images):
        assert "cannot be read: No such file" in refusal(tmp_path / "none", read=read)


@pytest.mark.parametrize("name", ["images.mat", "images", "images.png", "none.npy", "none"])
def test_what_is_neither_an_array_file_nor_a_folder_is_refused_with_what_is_accepted(tmp_path, name):
    if not name.startswith("none"):
        written(tmp_path / name, b"anything")
    assert "give a .npy or .npz file of images" in refusal(tmp_path / name)


def test_a_message_is_one_line_whatever_the_file_is_called(tmp_path):
    path = written(tmp_path / "two\nlines\x1b[31m.npy", b"")
    with pytest.raises(DataError) as caught:
        read_images(path)
    assert str(caught.value).isprintable()


VALID = {
    "idx": idx_bytes(IMAGES),
    "idx.gz": gzip.compress(idx_bytes(IMAGES)),
    "npy": saved(np.save, IMAGES),
    "float.npy": saved(np.save, RNG.random((3, 2, 2), np.float32)),
    "npz": saved(np.savez_compressed, images=IMAGES, labels=np.arange(6)),
    "png": saved(RGB.save, "png"),
}


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with some bytes changed, and a piece cut out or cut off, or none."""
    changed = bytearray(content)
    for position in draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        changed[position] = draw(st.integers(0, 255))
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    tail = draw(st.sampled_from([changed[stop:], changed[start:], b""]))
    return bytes(changed[:start] + tail)


@pytest.mark.parametrize("kind", VALID)
@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, kind, data):
    suffix = kind.split(".")[-1]
    path = tmp_path_factory.getbasetemp() / suffix / f"images.{suffix}"
    written(path, data.draw(damaged(VALID[kind])))
    try:
        if kind.startswith("idx"):
            assert read_idx(path, 3).ndim == 3
        else:
            examples = read_images(path.parent if suffix == "png" else path).examples
            assert examples.images.min() >= 0 and examples.images.max() <= examples.max_value
    except DataError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
        # A fault of the reader itself must not pass for damage.
        assert not isinstance(error.__cause__, NameError | TypeCheckError)
