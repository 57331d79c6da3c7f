"""What is found out about an array: images or not, and which of its numbers are black and white."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_files import RNG, save_images, saved, written
from lowerbound.data.array_schema import float32_offset, infer_array_schema
from lowerbound.data.data_kinds import describe_examples, kind_of
from lowerbound.data.examples import Examples
from lowerbound.data.files import ReadingOptions, read, to_collection
from lowerbound.data.raw_array import RawArray
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import ConfigError, DataError


def raw(values, **about) -> RawArray:
    return RawArray(place="the array", values=np.asarray(values), **about)


def between(low: float, high: float, shape=(6, 12, 12), dtype=np.float64) -> np.ndarray:
    """Numbers that reach both ends, and are not 8 bits in disguise."""
    values = (
        low + (high - low) * RNG.random(shape) if np.dtype(dtype).kind == "f" else RNG.integers(low, high + 1, shape)
    )
    values.reshape(-1)[:2] = low, high
    return values.astype(dtype)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((6,), "array"),
        ((6, 20), "array"),
        ((6, 28, 28), "image"),
        ((6, 8, 32), "image"),
        ((6, 32, 8), "image"),
        ((6, 8, 33), "array"),  # more than four times as wide as high
        ((6, 7, 7), "array"),  # signals, or joints in three dimensions
        ((6, 100, 3), "array"),
        ((6, 4, 5, 1), "image"),
        ((6, 4, 5, 3), "image"),
        ((6, 4, 5, 4), "image"),
        ((6, 1, 1, 3), "image"),
        ((6, 4, 5, 2), "array"),
        ((6, 12, 12, 12), "array"),
        ((6, 2, 3, 4, 5), "array"),
    ],
)
@pytest.mark.parametrize(
    "values",
    [
        lambda shape: between(0, 255, shape, np.uint8),
        lambda shape: between(0, 4095, shape, np.uint16),
        lambda shape: between(-1000, 3000, shape, np.int16),
        lambda shape: between(0, 1, shape, np.uint8),
        lambda shape: between(0, 1, shape, np.float32),
        lambda shape: between(0, 255, shape, np.float32),
        lambda shape: between(-1, 1, shape, np.float64),
        lambda shape: between(-0.002, 1.002, shape, np.float32),
        lambda shape: between(-7, 9000, shape, np.float32),
        lambda shape: RNG.random(shape) < 0.5,
    ],
    ids=["uint8", "uint16", "int16", "0 or 1", "0..1", "0..255", "-1..1", "overshoot", "real", "bool"],
)
def test_the_layout_follows_from_the_axes_whatever_the_type(shape, layout, values):
    schema = infer_array_schema(raw(values(shape)))
    assert schema.layout == layout
    expected = {1: (1,), 3: (*shape[1:], 1) if layout == "image" else shape[1:]}.get(len(shape), shape[1:])
    assert schema.shape == expected


SCALES = [
    (RNG.random((6, 12, 12)) < 0.5, (0, 1), "binary"),
    (between(0, 1, dtype=np.uint8), (0, 1), "binary"),
    (between(0, 1, dtype=np.int64), (0, 1), "binary"),
    (between(0, 255, dtype=np.uint8), (0, 255), "grey"),
    (between(0, 40, dtype=np.uint8), (0, 40), "grey"),
    (between(0, 16, dtype=np.uint8), (0, 16), "grey"),
    (between(0, 16, dtype=np.int64), (0, 16), "grey"),
    (between(0, 2, dtype=np.int8), (0, 2), "grey"),
    (between(0, 64, dtype=np.uint8), (0, 255), "grey"),  # a quarter: dark bytes
    (between(0, 255, dtype=np.int64), (0, 255), "grey"),
    (between(0, 255, dtype=np.uint16), (0, 255), "grey"),
    (between(0, 900, dtype=np.uint16), (0, 1023), "unit"),
    (between(0, 4000, dtype=np.uint16), (0, 4095), "unit"),
    (between(0, 4000, dtype=np.int16), (0, 4095), "unit"),
    (between(0, 9000, dtype=np.int32), (0, 16383), "unit"),
    (between(0, 65535, dtype=np.uint16), (0, 65535), "unit"),
    (between(0, 70000, dtype=np.uint32), (0, 70000), "unit"),
    (between(-1000, 3071, dtype=np.int16), (-1000, 3071), "unit"),
    (np.full((6, 12, 12), -3, np.int8), (-3, -2), "binary"),
    (between(0, 1), (0, 1), "unit"),
    (between(0.2, 0.7, dtype=np.float16), (0, 1), "unit"),
    (between(-0.002, 1.002), (0, 1), "unit"),
    (between(-1, 1), (-1, 1), "unit"),
    (between(-1.01, 1.05), (-1, 1), "unit"),
    (between(0, 255), (0, 255), "unit"),
    (between(0, 255, dtype=np.uint8).astype(np.float32), (0, 255), "grey"),
    (between(0, 255, dtype=np.uint8) / 255, (0, 1), "grey"),
    (between(0, 255, dtype=np.uint8) / 127.5 - 1, (-1, 1), "grey"),
    (between(0, 1.3), (0, 1.3), "unit"),
    (between(0, 256), (0, 256), "unit"),
    (between(-2, 1), (-2, 1), "unit"),
]


@pytest.mark.parametrize(("values", "scale", "kind"), SCALES)
def test_the_scale_of_images_follows_from_type_and_values(values, scale, kind):
    collection = to_collection(raw(values), ReadingOptions())
    examples = collection.examples
    assert examples.range == collection.schema.range == scale
    assert kind_of(examples) == kind
    np.testing.assert_array_equal(examples.values[..., 0], values.astype(np.float32))
    assert -0.05 <= examples.support.low <= examples.support.high <= 1.05
    low, high = scale
    words = f"read as images of 12×12 pixels, {low} to {high} (change with data.layout, data.range)"
    assert collection.notes[-1] == words


@pytest.mark.parametrize(
    ("values", "scale", "kind"),
    [
        (between(0, 255, (6, 20), np.uint8), (0, 255), "levels"),
        (between(0, 16, (6, 20), np.uint8), (0, 16), "levels"),
        (between(0, 1, (6, 20), np.uint8), (0, 1), "binary"),
        (between(0, 1, (6, 20)), (0, 1), "unit"),
        (between(0, 300, (6, 20), np.int64), (0, 1), "counts"),
        (between(-3, 300, (6, 20), np.int64), (0, 1), "real"),
        (between(0, 255, (6, 20)), (0, 1), "real"),
        (between(-0.002, 1.002, (6, 20)), (0, 1), "real"),
    ],
)
def test_arrays_are_taken_as_they_are_but_for_bytes(values, scale, kind):
    collection = to_collection(raw(values), ReadingOptions())
    assert collection.examples.range == scale and kind_of(collection.examples) == kind
    as_they_are = "unscaled" if scale == (0, 1) else f"0 to {scale[1]}"
    assert collection.notes[-1] == f"read as arrays of 20, {as_they_are} (change with data.layout, data.range)"
    assert len(collection.notes) == 1 + (scale == (0, 16))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16])
def test_levels_far_below_the_full_scale_are_pointed_out_with_the_setting(dtype):
    levels = between(0, 16, dtype=dtype)
    collection = to_collection(raw(levels), ReadingOptions())
    assert "no value exceeds 16, far below 255" in collection.notes[0] and "data.range=[0, 255]" in collection.notes[0]
    assert collection.examples.support.num_levels == 17
    with pytest.raises(DataError, match=r"is 17; the model was trained on \w+ from 0 to 16"):
        to_collection(raw(levels + dtype(1)), ReadingOptions(schema=collection.schema))
    for scale in ((0.0, 255.0), (0.0, 16.0)):
        set_one = to_collection(raw(levels), ReadingOptions(range=scale))
        assert set_one.schema.range == scale and not any("exceeds" in note for note in set_one.notes)


def test_image_files_keep_their_white_and_dark_ones_are_pointed_out(tmp_path):
    levels = between(0, 16, dtype=np.uint8)
    save_images(tmp_path, {f"{index}.png": Image.fromarray(image) for index, image in enumerate(levels)})
    collection = read(tmp_path)
    assert collection.schema.range == (0, 255)
    (note,) = collection.notes
    assert note.startswith("no pixel exceeds 16, and white is 255") and note.endswith("set data.range=[0, 16]")
    set_one = read(tmp_path, ReadingOptions(range=(0.0, 16.0)))
    assert set_one.notes == () and set_one.examples.support.num_levels == 17
    assert read(tmp_path, ReadingOptions(schema=collection.schema)).notes == ()


def test_layout_and_range_can_be_set(tmp_path):
    path = written(tmp_path / "a.npy", saved(np.save, between(0, 40, (30, 12, 12), np.int64)))

    def kind(**settings):
        splits = load(DataConfig(source=str(path), **settings))
        return splits.schema.layout, splits.schema.range, kind_of(splits.train), splits.notes

    assert kind(layout="array") == (
        "array", (0, 1), "counts", ("read as arrays of 12×12, unscaled (change with data.range)",)
    )  # fmt: skip
    assert kind(range=(0.0, 40.0))[:3] == ("image", (0, 40), "grey")
    assert kind(range=(0.0, 1.0))[:3] == ("image", (0, 1), "counts")
    assert kind(range=(0.0, 100.0), layout="array")[:3] == ("array", (0, 100), "levels")
    assert kind(range=(-10.0, 50.0))[:3] == ("image", (-10, 50), "unit")
    assert kind(range=(-10.0, 50.0), layout="image")[3] == ()


def test_bytes_that_are_set_to_be_counts_are_not_two_levels():
    collection = to_collection(raw(between(0, 200, dtype=np.uint8)), ReadingOptions(range=(0.0, 1.0)))
    assert kind_of(collection.examples) == "counts" and collection.examples.support.high == 200


def test_images_with_more_channels_and_small_ones_are_so_where_it_is_set():
    for shape in ((6, 4, 5), (6, 4, 5, 7), (6, 3, 16, 16)):
        schema = infer_array_schema(raw(between(0, 1, shape)), layout="image")
        assert (schema.layout, schema.shape) == ("image", shape[1:] if len(shape) == 4 else (*shape[1:], 1))
    assert infer_array_schema(raw(between(0, 1, (6, 3, 16, 16))), layout="array").layout == "array"


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_first_are_refused_with_the_way_out(channels):
    with pytest.raises(DataError) as caught:
        infer_array_schema(raw(np.zeros((6, channels, 16, 32))))
    came = f"the array contains 6×{channels}×16×32, which looks like N×C×H×W"
    assert str(caught.value) == f"{came}; give N×H×W×C: array.transpose(0, 2, 3, 1), or set data.layout=array."


@pytest.mark.parametrize(
    ("layout", "shape", "reason"),
    [("table", (6, 4, 5), "a table needs N×D"), ("image", (6, 20), "images need N×H×W or N×H×W×C")],
)
def test_a_layout_that_the_axes_do_not_have_is_refused(layout, shape, reason):
    with pytest.raises(DataError, match=reason):
        infer_array_schema(raw(np.zeros(shape)), layout=layout)


@pytest.mark.parametrize("scale", [(1.0,), (1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (0.0, float("nan"))])
def test_a_range_that_is_none_is_refused(scale):
    with pytest.raises(ConfigError, match="needs two finite numbers, the lower one first"):
        infer_array_schema(raw(np.zeros((6, 12, 12))), scale=scale)


def test_nan_makes_a_table_of_rows_and_nothing_else():
    values = between(-2, 2, (6, 3))
    values[1, 2] = np.nan
    collection = to_collection(raw(values), ReadingOptions())
    assert kind_of(collection.examples) == "table"
    assert collection.notes == ("read as a table of 3 columns, NaN where a cell is missing (change with data.layout)",)
    with pytest.raises(DataError, match=r"example 1, element 2 is nan; .* \(data.layout is array\)"):
        infer_array_schema(raw(values), layout="array")


@given(st.integers(0, 2**31), st.floats(1, 1e6), st.sampled_from([1e6, -1e6, 1e7]))
def test_float32_keeps_the_digits_of_numbers_far_from_zero(seed, spread, mean):
    values = mean + spread * np.random.default_rng(seed).normal(size=(20, 3)) * 1e-4
    collection = to_collection(raw(values), ReadingOptions())
    offset = np.array(collection.schema.offset or (0.0, 0.0, 0.0))
    error = np.abs(collection.examples.values.astype(np.float64) + offset - values)
    assert (error <= 2.0**-23 * np.maximum(np.abs(values - offset), 1e-30)).all()
    assert (error <= 1e-3 * values.std(axis=0)).all()


def test_arrays_with_two_axes_are_not_said_to_be_wide_and_high():
    values = between(0, 1, (6, 4, 5, 7), np.float32)
    assert describe_examples(6, Examples(values, 1.0, layout="array")).startswith("6 examples of shape 4×5×7; unit")
    assert describe_examples(6, Examples(values, 1.0)).startswith("6 examples of 5×4 pixels with 7 channels; unit")


def test_no_note_is_added_where_the_schema_is_given(tmp_path):
    path = written(tmp_path / "a.npy", saved(np.save, between(0, 255, dtype=np.uint8)))
    assert read(path, ReadingOptions(schema=read(path).schema)).notes == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_scale_is_found_out_from_the_examples_that_are_sound(bad):
    values = between(0, 255)
    values[3, 2, 1] = bad
    with pytest.raises(DataError, match=r"the array: example 3, element 2,1 is -?(nan|inf)"):
        to_collection(raw(values), ReadingOptions())
    collection = to_collection(raw(values), ReadingOptions(skip_broken=True))
    assert collection.schema.range == (0, 255) and collection.ids == ("0", "1", "2", "4", "5")
    assert [reason.split(";")[0] for reason in collection.skipped] == [f"the array: example 3, element 2,1 is {bad}"]


def test_numbers_that_vary_by_less_than_float32_squares_are_refused():
    tiny = RNG.normal(size=(60, 3)) * 1e-25
    with pytest.raises(DataError, match=r"which vary by less than 1e-18; multiply them"):
        to_collection(raw(tiny), ReadingOptions())
    with pytest.raises(DataError, match=r"vary by less than 1e-18 in element 2 of all examples"):
        to_collection(raw(np.concatenate([RNG.normal(size=(60, 2)), tiny], axis=1)), ReadingOptions())
    tiny[0, 0] = np.nan
    with pytest.raises(DataError, match=r"vary by less than 1e-18 in column 0 \(counted from 0\); multiply the column"):
        to_collection(raw(tiny), ReadingOptions())


def test_small_probabilities_beside_others_and_constant_elements_are_accepted():
    chances = np.stack([RNG.random(60), RNG.random(60) * 1e-25, np.zeros(60)], axis=1)
    assert to_collection(raw(chances), ReadingOptions()).examples.support.low == 0


def test_an_array_of_one_number_alone_is_noted():
    assert (
        to_collection(raw(np.ones((60, 5))), ReadingOptions()).notes[0]
        == "all numbers are 1: there is nothing to learn"
    )


def test_a_small_spread_around_a_small_mean_keeps_its_digits():
    values = 1 + RNG.normal(size=200) * 1e-9
    offset = float32_offset(values)
    held = (values - offset).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(held + offset, values, atol=1e-14, rtol=0)
    assert float32_offset(np.ones(5)) == float32_offset(1 + RNG.normal(size=200) * 1e-2) == 0
