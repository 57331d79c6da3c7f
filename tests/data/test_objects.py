"""What a Python program holds comes as the numbers and cells that it holds, and nothing else is guessed."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from lowerbound.data import objects as memory
from lowerbound.data.objects import read_object
from lowerbound.data.raw_array import RawArray
from lowerbound.data.sources import split_array
from lowerbound.data.tables import RawTable
from lowerbound.foundation.errors import DataError

NUMBERS = np.arange(12, dtype=np.float64).reshape(4, 3)
GREY = np.random.default_rng(0).integers(0, 256, (5, 6, 7), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (5, 6, 7, 3), np.uint8)


class Items(Dataset):
    """A map-style data set of a list."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def images(pixels):
    return [Image.fromarray(part) for part in pixels]


@pytest.mark.parametrize(
    "values",
    [
        NUMBERS,
        NUMBERS.tolist(),
        tuple(map(tuple, NUMBERS)),
        list(NUMBERS),
        list(torch.from_numpy(NUMBERS)),
        torch.from_numpy(NUMBERS),
        torch.from_numpy(NUMBERS).requires_grad_(),
        torch.from_numpy(NUMBERS).to_sparse(),
        TensorDataset(torch.from_numpy(NUMBERS)),
        Items(list(NUMBERS)),
        Items(NUMBERS.tolist()),
        Stream(list(NUMBERS)),
        Subset(Items(list(NUMBERS)), range(4)),
        sp.csr_matrix(NUMBERS),
        sp.coo_array(NUMBERS),
        np.ma.MaskedArray(NUMBERS),
        NUMBERS.astype(">f8"),
    ],
    ids=lambda values: type(values).__name__,
)
def test_numbers_come_as_they_are(values):
    raw = read_object(values)
    assert isinstance(raw, RawArray) and raw.labels is None
    assert_array_equal(raw.values, NUMBERS)
    assert raw.values.dtype.newbyteorder("=") == NUMBERS.dtype


def test_types_stay_and_arrays_and_tensors_are_not_copied():
    for dtype in (np.uint8, np.int32, np.float16, np.bool_):
        values = NUMBERS.astype(dtype)
        assert np.shares_memory(read_object(values).values, values)
        tensor = torch.from_numpy(values)
        assert read_object(tensor).values.dtype == dtype and read_object(tensor).values.ctypes.data == tensor.data_ptr()
    assert_array_equal(read_object(torch.tensor([[0.5], [3.0]], dtype=torch.bfloat16)).values, [[0.5], [3.0]])


def test_masked_cells_and_none_are_missing_and_not_what_lies_below_the_mask():
    masked = np.ma.MaskedArray(NUMBERS, NUMBERS == 4)
    expected = np.where(NUMBERS == 4, np.nan, NUMBERS)
    assert_array_equal(read_object(masked).values, expected)
    assert_array_equal(read_object([[1, None], [2, 3]]).values, [[1, np.nan], [2, 3]])
    assert_array_equal(read_object([0.5, None]).values, [0.5, np.nan])


def test_tensors_of_images_have_their_channels_first_and_other_tensors_keep_their_axes():
    tensor = torch.from_numpy(COLOUR).permute(0, 3, 1, 2)
    raw = read_object(tensor)
    assert_array_equal(raw.values, COLOUR)
    assert raw.notes == ("axes N×C×H×W of a tensor read as N×H×W×C",)
    assert_array_equal(read_object(Items(list(tensor))).values, COLOUR)
    assert_array_equal(read_object(torch.from_numpy(COLOUR)).values, COLOUR)
    assert read_object(torch.zeros(2, 5, 6, 7)).values.shape == (2, 5, 6, 7)
    assert read_object(tensor.numpy()).values.shape == tuple(tensor.shape)


@pytest.mark.parametrize("make", [Items, Stream])
def test_a_data_set_of_pairs_has_labels_and_its_transform_is_applied(make):
    raw = read_object(make([(torch.from_numpy(part) / 255, label) for part, label in zip(GREY, "abcab", strict=True)]))
    assert_array_equal(raw.values, GREY.astype(np.float32) / 255)
    assert raw.labels == list("abcab")
    raw = read_object(make([[part, np.array([label])] for label, part in enumerate(GREY)]))
    assert raw.labels == ["0", "1", "2", "3", "4"]
    raw = read_object(make([(image, torch.tensor(2)) for image in images(GREY)]))
    assert_array_equal(raw.values, GREY[..., None])
    assert raw.labels == ["2"] * 5


def test_a_stream_may_use_one_buffer_for_all_its_items():
    class Reused(IterableDataset):
        def __iter__(self):
            buffer = np.zeros(3)
            for row in NUMBERS:
                buffer[:] = row
                yield buffer

    assert_array_equal(read_object(Reused()).values, NUMBERS)


def test_pil_images_are_read_as_their_files_are():
    raw = read_object(images(GREY))
    assert_array_equal(raw.values, GREY[..., None])
    assert (raw.white, raw.is_from_images) == (255, True)
    assert_array_equal(read_object(images(COLOUR)).values, COLOUR)
    assert_array_equal(read_object(images(GREY)[0]).values, GREY[:1, ..., None])
    deep = read_object(images(GREY.astype(np.uint16) * 257))
    assert deep.values.dtype == np.uint16 and deep.white == 65535
    mixed = read_object([*images(COLOUR), *images(GREY)]).values
    assert_array_equal(mixed[5:], np.repeat(GREY[..., None], 3, axis=3))
    bitmap = read_object([Image.fromarray(GREY[0] > 127)]).values
    assert_array_equal(bitmap[0, ..., 0], np.where(GREY[0] > 127, 255, 0))


def test_transparent_images_are_blended_with_white():
    alpha = np.full((6, 7, 1), 51, np.uint8)  # a fifth
    raw = read_object([Image.fromarray(np.concatenate([COLOUR[0], alpha], axis=2))])
    assert np.abs(raw.values[0] - (0.2 * COLOUR[0] + 0.8 * 255)).max() <= 1
    assert raw.notes == ("1 of 1 blended with white where transparent",)


FRAME = pd.DataFrame(
    {
        "height": [1.5, np.nan, 2.5],
        "number": pd.array([1, None, 3], "Int64"),
        "part": pd.array([0.5, None, 1.5], "Float64"),
        "flag": [True, False, True],
        "maybe": pd.array([True, None, False], "boolean"),
        "sort": pd.Categorical([1, 2, None]),
        "colour": ["red", None, "blue"],
        "text": pd.array(["a", None, "b"], "string"),
        "day": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
        7: np.array([1, 2, 3], np.int8),
    },
    index=[10, 20, 30],
)
CELLS = {
    "height": [1.5, None, 2.5],
    "number": [1.0, None, 3.0],
    "part": [0.5, None, 1.5],
    "flag": [True, False, True],
    "maybe": [True, None, False],
    "sort": ["1", "2", None],
    "colour": ["red", None, "blue"],
    "text": ["a", None, "b"],
    "day": ["2020-01-01T00:00:00", None, "2020-01-03T00:00:00"],
    "7": [1.0, 2.0, 3.0],
}


def cells(raw):
    assert isinstance(raw, RawTable)
    return {name: list(column) for name, column in raw.columns.items()}


def test_a_frame_is_a_table_of_its_columns_without_its_index():
    raw = read_object(FRAME)
    assert cells(raw) == CELLS and list(raw.columns) == list(CELLS)
    assert all(isinstance(cell, bool) for cell in cells(raw)["flag"])


def test_arrow_and_what_exports_it_and_columns_and_records_are_the_same_table():
    class Exporting:  # as Polars has it
        columns = ("a", "b")

        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    columns = {"a": [1.5, None, 2.5], "b": ["x", "y", None]}
    table = pa.table(columns)
    coded = pa.table({"a": columns["a"], "b": pa.array(columns["b"]).dictionary_encode()})
    records = [{"a": 1.5, "b": "x"}, {"b": "y"}, {"a": 2.5}]
    for values in (table, coded, Exporting(), columns, records, pd.DataFrame(columns), [[1.5, "x"], [None, "y"]]):
        found = list(cells(read_object(values)).values())
        assert found == [column[: len(found[0])] for column in columns.values()], type(values)
    assert cells(read_object({"a": np.array([1, 2], np.float32), "b": torch.tensor([3, 4])})) == {
        "a": [1, 2],
        "b": [3, 4],
    }
    structured = np.array([(1, "x"), (2, "y")], [("n", "i4"), ("t", "U1")])
    assert cells(read_object(structured)) == {"n": [1, 2], "t": ["x", "y"]}
    assert cells(read_object(pd.Series([1.5, 2.5], name="s"))) == {"s": [1.5, 2.5]}


@pytest.mark.parametrize(
    "labels",
    [
        [3, 1, 3, 2],
        np.array([3, 1, 3, 2], np.uint8),
        np.array([[3], [1], [3], [2]]),
        np.array([3.0, 1.0, 3.0, 2.0]),
        torch.tensor([3, 1, 3, 2]),
        pd.Series([3, 1, 3, 2], index=[7, 8, 9, 6]),
        pd.Categorical([3, 1, 3, 2]),
        pa.chunked_array([[3, 1], [3, 2]]),
        ["3", "1", "3", "2"],
    ],
    ids=lambda labels: type(labels).__name__,
)
def test_labels_are_kept_as_they_are_written(labels):
    assert read_object(NUMBERS, labels).labels == ["3", "1", "3", "2"]
    table = read_object({"a": [1.0, 2.0, 3.0, 4.0], "label": [5.0, 6.0, 7.0, 8.0]}, labels)
    assert table.label == "label_" and table.columns["label_"] == ["3", "1", "3", "2"]
    assert table.columns["label"] == [5.0, 6.0, 7.0, 8.0]


def test_missing_labels_stay_missing_and_a_column_may_be_named():
    for labels in (["a", None], pd.Series(["a", None]), np.array(["a", None], object)):
        assert read_object([[1], [2]], labels).labels == ["a", None]
    assert read_object([[1], [2]], [float("nan"), True]).labels == [None, "True"]
    assert read_object(FRAME, "colour").label == "colour"


def test_splits_come_back_as_they_are():
    splits = split_array(NUMBERS)
    assert read_object(splits) is splits


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        (object(), None, r"^expected a numpy array, a tensor, .*; got a object\.$"),
        (None, None, "got a NoneType"),
        ("digits.npy", None, "got a str"),
        ({1, 2}, None, "got a set"),
        (torch.empty(3, 2, device="meta"), None, r"is a tensor of torch\.float32 on meta that numpy does not support"),
        (["a.png", "b.png"], None, "contains Python objects that are not numbers"),
        (np.float64(3), None, "is a single value"),
        (torch.tensor(3.0), None, "is a single value"),
        (np.array("text"), None, "is a single value"),
        ((number for number in [1]), None, r"got a generator; pass list\(\.\.\.\)"),
        (DataLoader(Items([1])), None, r"got a torch.*DataLoader; pass its data set: loader\.dataset"),
        ([[1, 2], [3]], None, "contains 1 int64 as example 1 and 2 int64 as example 0"),
        ([NUMBERS[0], NUMBERS[0], NUMBERS], None, "contains 4×3 float64 as example 2 and 3 float64 as example 0"),
        ([NUMBERS[0], NUMBERS[0].astype(np.uint8)], None, "3 uint8 as example 1"),
        ([[[1, 2], [3]], [[1, 2], [3]]], None, "lists of different lengths within example 0"),
        (Items([NUMBERS[0], NUMBERS[0, :2]]), None, "contains 2 float64 as example 1"),
        (Items([(1, 2, 3)]), None, "contains 3 parts as example 0"),
        (Items([{"x": 1}]), None, "contains a dict as example 0"),
        (Items([(NUMBERS[0], 1), NUMBERS[1]]), None, "contains example 1 without a label and example 0 with one"),
        (Items([(NUMBERS[0], NUMBERS[0])]), None, "has a ndarray as the label of example 0"),
        (Items([]), None, "contains no examples"),
        (Items(["a"]), None, "contains a str as example 0"),
        (TensorDataset(torch.ones(2), torch.ones(2), torch.ones(2)), None, "contains 3 tensors"),
        ([*images(GREY), Image.new("L", (3, 2))], None, r"example 0 is 7×6, example 5 3×2; resize .*\(7, 6\)\)"),
        ([*images(GREY), *images(GREY.astype(np.uint16))], None, "example 0 is uint8, example 5 uint16"),
        ([*images(GREY), GREY[0]], None, "contains a ndarray as example 5 among images"),
        (sp.csr_matrix((2**20, 2**20)), None, r"takes 8\.19e\+03 GiB as a dense array, but the limit is 8 GiB"),
        ({"a": [1, 2], "b": [1]}, None, "2 cells in column 'a' and 1 in 'b'"),
        ({"a": GREY}, None, "5×6×7 values as column 'a'"),
        ({"a": 5}, None, "has a int as column 'a'"),
        ({}, None, "has no columns"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), None, "has the column '1' twice"),
        ([{"a": 1}, 2], None, "contains a int as row 1 among dicts"),
        (NUMBERS, [1, 2], "has 4 examples and 2 labels; pass one label for each"),
        (NUMBERS, "abcd", "has a str as labels"),
        (NUMBERS, np.eye(4), r"4×4 values as labels; .* one-hot labels pass \.argmax\(1\)"),
        (NUMBERS, [0.5, 1, 2, 3], "has a fraction as the label of example 0"),
        (FRAME, "shape", "has no column 'shape' for labels; it has 'height'"),
        (split_array(NUMBERS), [1], "their own labels"),
    ],
)
def test_what_is_not_accepted_is_refused_in_one_line_that_says_where(values, labels, message):
    with pytest.raises(DataError, match=message) as caught:
        read_object(values, labels, "the batch")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 260


def test_a_stream_without_an_end_stops_at_what_memory_may_hold(monkeypatch):
    monkeypatch.setattr(memory, "MAX_BYTES", 10_000)

    class Endless(IterableDataset):
        def __iter__(self):
            while True:
                yield np.zeros(10)

    with pytest.raises(DataError, match="the limit is"):
        read_object(Endless())


def test_libraries_that_are_not_in_use_are_not_imported():
    code = (
        "import sys; before = set(sys.modules); from lowerbound.data.objects import read_object; read_object([[1.0]]); "
    )
    code += "print(*{'torch.utils.data', 'pandas', 'scipy', 'pyarrow'} & (set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pandas", "scipy", "pyarrow"} & set(done.stdout.split())
