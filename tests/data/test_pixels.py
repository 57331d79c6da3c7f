"""Image files of more than 8 bits keep the numbers that they store, or say why not."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image

from data_files import RNG, grey, refusal, save_images, saved, written
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.folders import read_folder
from lowerbound.data.images import ImageOptions, read_image_files
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Schema

UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # TIFF's SampleFormat
BOUNDS = {
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-1000, 3071),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
}


def tiff(pixels: np.ndarray, order: str = "<", photometric: int = 1, bits: int = 0) -> bytes:
    """An uncompressed TIFF, written by hand: what Pillow cannot read it cannot write either.

    Source: TIFF Revision 6.0, Adobe, 1992, sections 2 and 19.
    """
    height, width, *rest = pixels.shape
    num_channels = rest[0] if rest else 1
    bits = bits or 8 * pixels.dtype.itemsize
    sample_format = {"u": UNSIGNED, "i": SIGNED, "f": FLOAT}[pixels.dtype.kind]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data += bytes(len(data) % 2)
    several = struct.pack(order + "H", bits) * num_channels  # does not fit into its tag where there are three
    start_of_bits = 8 + len(data)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, num_channels, bits), (259, 3, 1, 1)]
    tags += [(262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, num_channels), (278, 4, 1, height)]
    tags += [(279, 4, 1, len(data)), (339, 3, 1, sample_format)]
    directory = struct.pack(order + "H", len(tags))
    for tag, kind, count, value in tags:
        directory += struct.pack(order + "HHI", tag, kind, count)
        if count > 2:
            directory += struct.pack(order + "I", start_of_bits)
        else:
            directory += struct.pack(order + ("I" if kind == 4 else "HH"), *([value] if kind == 4 else [value, 0]))
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start_of_bits + len(several))
    return header + data + several + directory + bytes(4)


def raw(folder: Path, **options):
    return read_folder(folder, ImageOptions(**options))


def test_the_tiffs_of_these_tests_are_those_that_pillow_reads(tmp_path):
    pixels = RNG.integers(0, 256, (4, 5, 3), np.uint8)
    for order in "<>":
        file = written(tmp_path / "a.tif", tiff(pixels, order, photometric=2))
        np.testing.assert_array_equal(np.asarray(Image.open(file)), pixels)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_keeps_its_numbers_and_their_type(tmp_path, dtype, order):
    low, high = BOUNDS[dtype]
    pixels = RNG.integers(low, high, (4, 5), dtype, endpoint=True)
    pixels[0, :2] = low, high
    file = written(tmp_path / "a.tif", tiff(pixels, order))
    if (dtype, order) == ("uint32", ">"):  # which Pillow does not know
        assert "is not a PNG, JPEG, WebP, TIFF" in refusal(tmp_path, named=file)
        return
    found = raw(tmp_path)
    assert found.values.dtype == dtype and found.white == (65535 if dtype == "uint16" else 0)
    np.testing.assert_array_equal(found.values[0, ..., 0], pixels)
    examples = read(tmp_path).examples
    assert examples.range == ((float(low), float(high)) if low < 0 else (0.0, float(high)))
    np.testing.assert_array_equal(examples.values[0, ..., 0], pixels.astype(np.float32))


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_float_tiff_is_an_array_of_floats(tmp_path, order):
    pixels = RNG.normal(size=(4, 5)).astype(np.float32)
    written(tmp_path / "a.tif", tiff(pixels, order))
    assert raw(tmp_path).white == 0
    np.testing.assert_array_equal(read(tmp_path).examples.values[0, ..., 0], pixels)


def test_a_pixel_that_is_not_a_number_is_refused_with_its_place_or_its_image_skipped(tmp_path):
    pixels = RNG.random((4, 5)).astype(np.float32)
    written(tmp_path / "a.tif", tiff(pixels))
    pixels[1, 2] = np.nan
    written(tmp_path / "b.tif", tiff(pixels))
    assert ": b.tif, element 1,2,0 is nan; missing values are accepted only in tables N×D" in refusal(tmp_path)
    collection = read(tmp_path, ReadingOptions(skip_broken=True))
    assert collection.ids == ("a.tif",) and ": b.tif, element 1,2,0 is nan" in collection.skipped[0]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_keeps_its_numbers(tmp_path, suffix):
    values = RNG.integers(0, 2**16, (4, 5), np.uint16)
    values[0, :2] = 0, 65535
    examples = read(save_images(tmp_path, {f"a.{suffix}": Image.fromarray(values)})).examples
    assert examples.range == (0.0, 65535.0)
    np.testing.assert_array_equal(examples.values[0, ..., 0], values)


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_the_scale_of_16_bits_is_the_least_that_holds_all(tmp_path, top):
    values = np.array([[0, top], [top // 2 + 1, 7]], np.uint16)
    collection = read(save_images(tmp_path, {"a.png": Image.fromarray(values)}))
    assert collection.examples.range == (0.0, float(top))
    np.testing.assert_array_equal(collection.examples.values[0, ..., 0], values)
    assert collection.notes == (f"read as images of 2×2 pixels, 0 to {top} (change with data.range)",)


def test_where_white_is_zero_in_a_16_bit_tiff_it_is_inverted_as_8_bits_are(tmp_path):
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        pixels = RNG.integers(0, top, (4, 5), dtype, endpoint=True)
        written(tmp_path / "a.tif", tiff(pixels, photometric=0))
        np.testing.assert_array_equal(raw(tmp_path).values[0, ..., 0], top - pixels)


def test_twelve_bits_that_a_tiff_states_are_its_scale(tmp_path):
    # Two pixels in three bytes: 0x123 and 0xFFF.
    file = bytearray(tiff(np.array([[0x12, 0x3F, 0xFF]], np.uint8), bits=12))
    at = file.index(struct.pack("<HHI", 256, 4, 1))
    file[at + 8 : at + 12] = struct.pack("<I", 2)  # the width
    written(tmp_path / "a.tif", bytes(file))
    collection = read(tmp_path)
    assert collection.examples.values[0, 0, :, 0].tolist() == [0x123, 0xFFF]
    assert collection.examples.range == (0.0, 4095.0)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("num_channels", [3, 4])
def test_16_bits_a_channel_are_refused_where_half_of_them_would_be_lost(tmp_path, order, num_channels):
    pixels = RNG.integers(0, 65536, (4, 5, num_channels), np.uint16)
    written(tmp_path / "a.tif", tiff(pixels, order, photometric=2))
    message = refusal(tmp_path, named=tmp_path / "a.tif")
    assert "has 16 bits per channel, of which only 8 could be read; save such images as one .npy array" in message


def png_of(depth: int, colour: int, row: bytes) -> bytes:
    """A PNG of one row. Source: https://www.w3.org/TR/png-3, sections 5.3 and 11.2.1."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">2I5B", 2, 1, depth, colour, 0, 0, 0)
    start, pixels = b"\x89PNG\r\n\x1a\n", zlib.compress(b"\0" + row)
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour", "num_channels"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "grey and alpha", "RGBA"])
def test_16_bit_pngs_in_colour_or_with_transparency_are_refused(tmp_path, colour, num_channels):
    written(tmp_path / "a.png", png_of(16, colour, bytes(range(4 * num_channels))))
    assert "has 16 bits per channel" in refusal(tmp_path, named=tmp_path / "a.png")
    written(tmp_path / "a.png", png_of(8, colour, bytes(range(2 * num_channels))))
    assert len(read(tmp_path).examples) == 1


def test_a_16_bit_png_in_grey_is_read_as_the_standard_has_it(tmp_path):
    written(tmp_path / "a.png", png_of(16, 0, b"\x01\x02\xff\xfe"))
    assert raw(tmp_path).values.ravel().tolist() == [0x0102, 0xFFFE]


def test_images_of_different_types_in_one_folder_are_refused_with_an_example_of_each(tmp_path):
    save_images(tmp_path, {"a.png": grey(0), "b.png": Image.fromarray(np.zeros((4, 5), np.uint16))})
    written(tmp_path / "c.tif", tiff(np.zeros((4, 5), np.int16)))
    came = "(uint8 up to 255 in a.png, uint16 up to 65535 in b.png, int16 in c.tif)"
    assert f"contains images of different types {came}; convert them to one" in refusal(tmp_path)


@given(st.sampled_from([*BOUNDS, "float32"]), st.sampled_from(["crop", "fit"]), st.integers(2, 9), st.integers(2, 9))
def test_resized_numbers_stay_within_those_of_the_image_and_keep_a_constant(tmp_path_factory, dtype, resize, w, h):
    folder = tmp_path_factory.getbasetemp() / "resized"
    low, high = BOUNDS.get(dtype, (-3, 2))
    edges = np.where(np.arange(30).reshape(5, 6) % 3 == 0, low, high).astype(dtype)
    written(folder / "a.tif", tiff(edges))
    values = raw(folder, size=(w, h), resize=resize).values
    assert values.dtype == dtype and values.shape == (1, h, w, 1)
    assert min(low, 0) <= values.min() and values.max() <= high
    level = int(high / 4)
    written(folder / "a.tif", tiff(np.full((5, 6), level, dtype)))
    assert (raw(folder, size=(w, h), resize="crop").values == level).all()


def test_resizing_is_lanczos_as_pillow_has_it_for_8_bits(tmp_path):
    pixels = np.asarray(
        Image.fromarray(RNG.integers(0, 256, (6, 8), np.uint8)).resize((40, 30), Image.Resampling.BICUBIC)
    )
    written(tmp_path / "eight.tif", tiff(pixels))
    eight = raw(tmp_path, size=(20, 15)).values.astype(int)
    (tmp_path / "eight.tif").unlink()
    written(tmp_path / "sixteen.tif", tiff(pixels.astype(np.uint16) * 257))
    sixteen = raw(tmp_path, size=(20, 15)).values / 257
    # 8 bits are rounded after each of two passes, and the second weighs the first one's rounding by up to 1.5.
    assert np.abs(eight - sixteen).max() < 2


def test_grey_numbers_become_three_channels_where_a_model_needs_them(tmp_path):
    written(tmp_path / "a.tif", tiff(pixels := RNG.integers(0, 4096, (4, 5), np.uint16)))
    np.testing.assert_array_equal(raw(tmp_path, num_channels=3).values[0], np.stack([pixels] * 3, axis=-1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_numbers_are_rotated_upright_too(tmp_path, orientation, dtype):
    pixels = np.arange(20).reshape(4, 5).astype(dtype)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "b.png", exif=exif)
    numbers, eight_bits = (read_image_files([tmp_path / name], ImageOptions()).values for name in ("a.tif", "b.png"))
    np.testing.assert_array_equal(numbers, eight_bits)


# ---- read by the schema of a run


@pytest.mark.parametrize(
    ("dtype", "scale", "expected"),
    [
        ("uint8", (0.0, 16.0), [0, 16, 8]),
        ("uint8", (0.0, 255.0), [0, 255, 128]),
        ("uint8", (0.0, 1.0), [0, 1, 1]),
        ("float32", (0.0, 1.0), [0, 1, 128 / 255]),
        ("float32", (-1.0, 1.0), [-1, 1, 1 / 255]),
        ("float64", (0.0, 255.0), [0, 255, 128]),
        ("uint16", (0.0, 65535.0), [0, 65535, 128 * 257]),
        ("int64", (0.0, 4095.0), [0, 4095, round(128 * 4095 / 255)]),
    ],
)
def test_the_white_of_an_8_bit_image_is_the_full_scale_of_the_run(tmp_path, dtype, scale, expected):
    save_images(tmp_path, {"a.png": Image.fromarray(np.array([[0, 255, 128]], np.uint8))})
    schema = Schema(layout="image", shape=(1, 3, 1), dtype=dtype, range=scale)
    collection = read(tmp_path, ReadingOptions(schema=schema))
    np.testing.assert_allclose(collection.examples.values.ravel(), expected, atol=1e-7)
    assert collection.examples.range == scale
    assert (collection.notes == ()) == (scale == (0.0, 255.0))


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 16), ("uint16", 500)])
def test_a_scale_that_is_set_for_image_files_is_in_their_own_numbers(tmp_path, dtype, top):
    pixels = RNG.integers(0, top, (9, 4, 5), dtype, endpoint=True)
    save_images(tmp_path, {f"{number}.png": Image.fromarray(image) for number, image in enumerate(pixels)})
    splits = load(DataConfig(source=str(tmp_path), range=(0.0, float(top))))
    assert splits.train.range == splits.schema.range == (0.0, float(top))
    again = read(tmp_path, ReadingOptions(schema=splits.schema)).examples
    np.testing.assert_array_equal(again.values[..., 0], pixels)


@pytest.mark.parametrize(
    ("dtype", "scale", "expected"),
    [
        ("uint16", (0.0, 4095.0), [0, 4095, 1000]),  # 12 bits in 16, as the run's are
        ("uint16", (0.0, 65535.0), [0, 4095, 1000]),
        ("int64", (0.0, 4095.0), [0, 4095, 1000]),
        ("float32", (0.0, 1.0), np.array([0, 4095, 1000]) / 65535),
        ("uint8", (0.0, 255.0), [0, 16, 4]),
    ],
)
def test_16_bits_are_numbers_to_a_run_of_more_than_8_bits_and_a_shade_to_others(tmp_path, dtype, scale, expected):
    save_images(tmp_path, {"a.png": Image.fromarray(np.array([[0, 4095, 1000]], np.uint16))})
    schema = Schema(layout="image", shape=(1, 3, 1), dtype=dtype, range=scale)
    values = read(tmp_path, ReadingOptions(schema=schema)).examples.values
    np.testing.assert_allclose(values.ravel(), expected, rtol=1e-6)


def test_numbers_beyond_those_of_the_run_are_refused_with_image_and_pixel(tmp_path):
    save_images(tmp_path, {"a.png": Image.fromarray(np.array([[0, 4095, 5000]], np.uint16))})
    schema = Schema(layout="image", shape=(1, 3, 1), dtype="uint16", range=(0.0, 4095.0))
    with pytest.raises(
        DataError, match=r": a.png, element 0,2,0 is 5000; the model was trained on uint16 from 0 to 4095"
    ):
        read(tmp_path, ReadingOptions(schema=schema))


def test_the_files_of_an_animation_are_not_searched_for_their_last_frame(tmp_path, monkeypatch):
    frames = [grey(value) for value in range(1, 50)]
    written(tmp_path / "a.gif", saved(frames[0].save, "gif", save_all=True, append_images=frames[1:]))
    sought = []
    seek = GifImagePlugin.GifImageFile._seek
    monkeypatch.setattr(
        GifImagePlugin.GifImageFile,
        "_seek",
        lambda self, frame, *rest: (sought.append(frame), seek(self, frame, *rest))[1],
    )
    read(tmp_path)
    assert max(sought) <= 1
