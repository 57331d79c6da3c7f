"""Equal numbers make equal examples, however they are stored; what does not fit a schema is refused with its place."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_files import RNG, saved, written
from lowerbound.data.batches import scaled
from lowerbound.data.files import ReadingOptions, read, to_collection
from lowerbound.data.raw_array import RawArray
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Column, Schema, Support

TYPES = ("uint8", "uint16", "int32", "int64", "float32", "float64")


def as_npy(folder: Path, values: np.ndarray) -> Path:
    return written(folder / "a.npy", saved(np.save, values))


def as_npz(folder: Path, values: np.ndarray) -> Path:
    return written(folder / "a.npz", saved(np.savez_compressed, images=values, other=np.zeros(1)))


def as_safetensors(folder: Path, values: np.ndarray) -> Path:
    return written(folder / "a.safetensors", safetensors.numpy.save({"x": np.ascontiguousarray(values)}))


def as_pngs(folder: Path, values: np.ndarray) -> Path:
    for number, image in enumerate(values):
        written(folder / "pngs" / f"{number:03d}.png", saved(Image.fromarray(image[..., 0]).save, "png"))
    for stale in sorted((folder / "pngs").iterdir())[len(values) :]:
        stale.unlink()
    return folder / "pngs"


def in_memory(values: np.ndarray) -> RawArray:
    return RawArray(place="the array", values=values)


ENCODINGS = {"npy": as_npy, "npz": as_npz, "safetensors": as_safetensors}


@st.composite
def images(draw) -> np.ndarray:
    """8-bit images of more than two shades; some reach white and some do not."""
    top = draw(st.sampled_from([3, 16, 200, 255]))
    values = np.random.default_rng(draw(st.integers(0, 999))).integers(0, top + 1, (6, 9, 8, 1))
    values.reshape(-1)[:3] = 0, top, top // 2 + 1
    return values


@given(images(), st.data())
def test_equal_numbers_make_equal_examples_whatever_the_run_was_trained_on(tmp_path_factory, values, data):
    folder = tmp_path_factory.getbasetemp() / "encodings"
    trained_on = data.draw(st.sampled_from(TYPES))
    schema = load(DataConfig(source=str(as_npy(folder, values.astype(trained_on))))).schema
    options = ReadingOptions(schema=schema)
    expected = to_collection(in_memory(values.astype(trained_on)), options).examples
    np.testing.assert_array_equal(expected.values, values)
    for dtype in TYPES:
        for encode in ENCODINGS.values():
            found = read(encode(folder, values.astype(dtype)), options).examples
            assert found.values.dtype == expected.values.dtype and found.range == expected.range
            np.testing.assert_array_equal(found.values, expected.values)
    if expected.range == (0, 255):  # else a PNG's white, 255, is the run's
        np.testing.assert_array_equal(read(as_pngs(folder, values.astype(np.uint8)), options).examples.values, values)
    if trained_on == "uint16":  # as 16-bit files are
        np.testing.assert_array_equal(read(as_pngs(folder, values.astype(np.uint16)), options).examples.values, values)


@given(st.sampled_from(["int16", "int64", "float32", "float64"]), st.sampled_from(["int16", "int32", "float64"]))
def test_signed_numbers_are_the_same_in_any_type_too(trained_on, given_as):
    values = np.random.default_rng(0).integers(-1000, 3000, (6, 9, 8))
    schema = to_collection(in_memory(values.astype(trained_on)), ReadingOptions()).schema
    found = to_collection(in_memory(values.astype(given_as)), ReadingOptions(schema=schema)).examples
    np.testing.assert_array_equal(found.values[..., 0], values.astype(np.float32))


def test_which_examples_a_file_holds_does_not_change_what_they_are():
    # A file of dark images was one of black and white before; a bright one among them changed all.
    bright = RNG.integers(0, 256, (9, 8, 8)).astype(np.uint8)
    dark = RNG.integers(0, 2, (5, 8, 8)).astype(np.uint8)
    options = ReadingOptions(schema=to_collection(in_memory(bright), ReadingOptions()).schema)
    alone = to_collection(in_memory(dark), options).examples
    together = to_collection(in_memory(np.concatenate([dark, bright])), options).examples
    assert alone.range == together.range == (0, 255)
    np.testing.assert_array_equal(alone.values, together.values[:5])


def schema(dtype: str, scale=(0.0, 255.0), layout="image", shape=(2, 3, 1), support=None) -> Schema:
    return Schema(layout=layout, shape=shape, dtype=dtype, range=scale, support=support or Support(0.0, 1.0))


def wrong_at(value: float, dtype="float64") -> np.ndarray:
    values = np.ones((4, 2, 3), dtype)
    values[2, 1, 0] = value
    return values


REFUSED = [
    (schema("uint8"), wrong_at(np.nan), "is nan; accepted: finite numbers"),
    (schema("float32"), wrong_at(-np.inf), "is -inf; accepted: finite numbers"),
    (schema("float32"), wrong_at(1e18), "is 1e+18; accepted: numbers below 1e18"),
    (schema("uint8"), wrong_at(1.5), "is 1.5; the model was trained on uint8, whole numbers"),
    (schema("uint8"), wrong_at(256), "is 256; the model was trained on uint8 from 0 to 255"),
    (schema("uint8"), wrong_at(-1, "int64"), "is -1; the model was trained on uint8 from 0 to 255"),
    (
        schema("uint16", (0.0, 4095.0)),
        wrong_at(5000, "uint16"),
        "is 5000; the model was trained on uint16 from 0 to 4095",
    ),
    (schema("uint8", (0.0, 1.0)), wrong_at(2, "uint8"), "is 2; the model was trained on uint8 from 0 to 1"),
    (schema("bool", (0.0, 1.0)), wrong_at(2, "uint8"), "is 2; the model was trained on bool from 0 to 1"),
    (schema("float32", (0.0, 1.0)), wrong_at(255), "is 255; the model was trained on float32 from 0 to 1"),
    (schema("float32", (-1.0, 1.0)), wrong_at(-1.2), "is -1.2; the model was trained on float32 from -1 to 1"),
]


@pytest.mark.parametrize(("known", "values", "reason"), REFUSED)
def test_what_does_not_fit_is_refused_with_its_place_or_skipped_by_its_position(known, values, reason):
    with pytest.raises(DataError) as caught:
        to_collection(in_memory(values), ReadingOptions(schema=known))
    assert str(caught.value) == f"the array: example 2, element 1,0 {reason}."
    collection = to_collection(in_memory(values), ReadingOptions(schema=known, skip_broken=True))
    assert collection.ids == ("0", "1", "3")
    assert collection.skipped == (f"the array: example 2, element 1,0 {reason}",)
    np.testing.assert_array_equal(collection.examples.values[..., 0], values[[0, 1, 3]])


def test_pixels_that_were_divided_are_refused_with_what_to_do():
    with pytest.raises(
        DataError, match=r"looks like pixels divided by 255: pass uint8 from 0 to 255, or multiply by 255"
    ):
        to_collection(in_memory(RNG.random((4, 2, 3))), ReadingOptions(schema=schema("uint8")))


@pytest.mark.parametrize(
    ("known", "values"),
    [
        (schema("float32", (0.0, 1.0)), wrong_at(1.04)),  # the overshoot that training accepts
        (schema("float32", (-3.5, 8.0)), wrong_at(99)),  # numbers without a full scale: unusual, not wrong
        (schema("int16", (-1000.0, 3000.0)), wrong_at(30000, "int16")),
        (schema("int64", (0.0, 1.0), support=Support(0.0, 90.0, is_integer=True)), wrong_at(400, "int64")),  # counts
        (schema("float32", (0.0, 1.0), "array", (2, 3)), wrong_at(1e6)),
    ],
)
def test_what_is_merely_unusual_is_read(known, values):
    found = to_collection(in_memory(values), ReadingOptions(schema=known)).examples.values
    np.testing.assert_array_equal(found.reshape(values.shape), values.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "hint"),
    [
        ((4, 3, 2), "examples are 4×3×2×1, but the model was trained on N×2×3×1 or N×2×3."),
        (
            (4, 1, 2, 3),
            "examples are 4×1×2×3, but the model was trained on N×2×3×1 or N×2×3; it looks like N×C×H×W: array.tr",
        ),
        ((4, 6), "examples are 4×6, but the model was trained on N×2×3×1 or N×2×3."),
        ((0, 2, 3), "no examples: 0×2×3×1"),
        ((), "examples are a single number"),
    ],
)
def test_another_shape_is_refused_with_that_of_the_run(shape, hint):
    with pytest.raises(DataError) as caught:
        to_collection(in_memory(np.zeros(shape)), ReadingOptions(schema=schema("uint8")))
    assert hint in str(caught.value) and str(caught.value).startswith("the array")


def test_an_array_for_a_table_of_names_is_refused_with_the_names():
    known = Schema(layout="table", shape=(1,), dtype="", columns=(Column(name="age", kind="numeric"),))
    with pytest.raises(
        DataError, match="contains an array, but the model was trained on a table; give one with the columns 'age'"
    ):
        to_collection(in_memory(np.zeros((4, 1))), ReadingOptions(schema=known))


def test_where_every_example_is_broken_the_first_is_named():
    options = ReadingOptions(schema=schema("uint8"), skip_broken=True)
    with pytest.raises(
        DataError, match="none of the examples can be read; the first reason: the array: example 0, element 0,0 is"
    ):
        to_collection(in_memory(np.full((4, 2, 3), 999)), options)


@given(st.sets(st.integers(0, 19), max_size=12))
def test_skipped_examples_leave_splits_and_labels_apart(broken):
    values = np.arange(20.0)[:, None, None] * np.ones((2, 3))
    values[sorted(broken)] = np.nan
    raw = RawArray(
        place="the array", values=values, labels=[str(n % 3) for n in range(20)], num_validation=4, num_test=6
    )
    collection = to_collection(raw, ReadingOptions(schema=schema("uint8"), skip_broken=True))
    kept = [number for number in range(20) if number not in broken]
    assert collection.examples.values[:, 0, 0, 0].tolist() == kept
    assert [collection.label_names[at] for at in collection.examples.labels] == [str(number % 3) for number in kept]
    assert collection.num_validation == sum(10 <= number < 14 for number in kept)
    assert collection.num_test == sum(number >= 14 for number in kept)


def test_the_scale_that_a_run_saw_is_where_0_and_1_are_for_its_model():
    values = RNG.integers(-1000, 3000, (6, 9, 8)).astype(np.int16)
    examples = to_collection(in_memory(values), ReadingOptions()).examples
    low, high = float(values.min()), float(values.max())
    expected = (values.astype(np.float64) - low) / (high - low)
    np.testing.assert_allclose(scaled(examples)[:, 0].numpy(), expected, atol=1e-6)
