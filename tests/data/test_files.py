"""A path becomes the examples it holds, or one line that says why not."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from PIL import Image
from safetensors.numpy import save as save_safetensors

from data_files import COLOUR, IMAGES, RNG, idx_bytes, refusal, saved, written
from lowerbound.data.arrays import read_idx
from lowerbound.data.examples import Examples
from lowerbound.data.files import read
from lowerbound.foundation.errors import DataError
from lowerbound.foundation.schema import Support


def test_a_subset_keeps_images_and_labels_together_and_shares_nothing_with_the_whole():
    whole = Examples(IMAGES[..., np.newaxis].copy(), 255.0, np.arange(6))
    part = whole.subset(np.array([4, 1]))
    assert len(part) == 2 and part.event_shape == (1, 4, 5)  # channels first, as in torch
    np.testing.assert_array_equal(part.values[..., 0], IMAGES[[4, 1]])
    np.testing.assert_array_equal(part.labels, [4, 1])
    assert not np.shares_memory(part.values, whole.values)


@pytest.mark.parametrize(
    ("values", "max_value", "support"),
    [
        (np.array([[0, 255], [7, 3]], np.uint8), 255.0, Support(0.0, 1.0, num_levels=256)),
        (np.array([[0, 16], [7, 3]], np.uint8), 16.0, Support(0.0, 1.0, num_levels=17)),
        (np.array([[0, 1], [1, 1]], np.uint8), 1.0, Support(0.0, 1.0, num_levels=2, is_binary=True, is_integer=True)),
        (np.array([[0, 7], [3, 2]], np.float32), 1.0, Support(0.0, 7.0, is_integer=True)),
        (np.array([[0, 0.5], [0.3, 0.25]], np.float32), 1.0, Support(0.0, 0.5)),
        (np.array([[0, 51], [102, 204]], np.float32) / 255, 1.0, Support(0.0, np.float32(0.8).item(), num_levels=256)),
        (np.array([[-2.5, 7], [3, 2]], np.float32), 1.0, Support(-2.5, 7.0)),
    ],
)
def test_the_support_of_data_is_read_off_their_values(values, max_value, support):
    assert Examples(values, max_value, layout="array").support == support


def test_the_support_of_two_parts_is_that_of_both():
    assert Support(0.0, 1.0, 256) | Support(0.0, 0.0, 256, is_binary=True) == Support(0.0, 1.0, 256)
    assert Support(0.0, 1.0, 2, True, True) | Support(-1.0, 3.0, is_integer=True) == Support(-1.0, 3.0, is_integer=True)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz", "images"])
def test_an_idx_file_is_told_by_its_content(tmp_path, name):
    compress = gzip.compress if name.endswith("gz") else bytes
    examples = read(written(tmp_path / name, compress(idx_bytes(IMAGES)))).examples
    np.testing.assert_array_equal(examples.values[..., 0], IMAGES)


@pytest.mark.parametrize("name", ["none.npy", "none"])
def test_what_does_not_exist_is_refused(tmp_path, name):
    assert refusal(tmp_path / name) == f"{tmp_path / name} does not exist."


@pytest.mark.parametrize("name", ["images.mat", "images"])
def test_what_is_of_no_accepted_kind_is_refused_with_what_is_accepted(tmp_path, name):
    written(tmp_path / name, b"anything")
    assert "give a folder or .zip of images" in refusal(tmp_path / name)


def test_what_is_missing_or_not_of_its_kind_is_refused(tmp_path):
    assert "cannot be read: Is a directory" in refusal(tmp_path, read=lambda path: read_idx(path, 3))
    assert "cannot be read: No such file" in refusal(tmp_path / "none", read=lambda path: read_idx(path, 3))


def test_a_message_is_one_line_whatever_the_file_is_called(tmp_path):
    path = written(tmp_path / "two\nlines\x1b[31m.npy", b"")
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).isprintable()


VALID = {
    "idx": idx_bytes(IMAGES),
    "idx.gz": gzip.compress(idx_bytes(IMAGES)),
    "npy": saved(np.save, IMAGES),
    "float.npy": saved(np.save, RNG.random((3, 2, 2), np.float32)),
    "npz": saved(np.savez_compressed, images=IMAGES, labels=np.arange(6)),
    "safetensors": save_safetensors({"images": IMAGES, "labels": np.arange(6)}),
    "png": saved(Image.fromarray(COLOUR).save, "png"),
    "tif": saved(Image.fromarray(COLOUR).save, "tiff"),
    "webp": saved(Image.fromarray(COLOUR).save, "webp"),
    "gif": saved(Image.fromarray(COLOUR).quantize(8).save, "gif"),
    "suffixless": saved(Image.fromarray(COLOUR).save, "bmp"),
    "grey.png": saved(Image.fromarray(IMAGES[0].astype(np.uint16) * 257).save, "png"),
    "int32.tif": saved(Image.fromarray(IMAGES[0].astype(np.int32) - 99).save, "tiff"),
    "csv": b"height,visits,city\n1.75,3,Oslo\n,9,Bonn\n1.62,0,Oslo\n1.81,44,Lyon\n1.7,1,Bonn\n",
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
@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, kind, data):
    suffix = kind.split(".")[-1]
    path = tmp_path_factory.getbasetemp() / suffix / f"images.{suffix}"
    written(path, data.draw(damaged(VALID[kind])))
    try:
        if kind.startswith("idx"):
            assert read_idx(path, 3).ndim == 3
        else:
            examples = read(path.parent if suffix in ("png", "tif", "webp", "gif", "suffixless") else path).examples
            assert len(examples) == len(examples.values) > 0
    except DataError as error:
        # Damaged at its beginning, a file without a suffix is not an image: the folder holds none.
        blamed = path.parent if kind == "suffixless" else path
        assert str(error).startswith(str(blamed)) and "\n" not in str(error)
        # A fault of the reader itself must not pass for damage.
        assert not isinstance(error.__cause__, NameError | TypeCheckError)
