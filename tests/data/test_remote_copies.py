"""Files and folders far away are read like local ones, under the names of their URLs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_files import RNG, save_images
from lowerbound.data.packed_files import read_manifest
from lowerbound.data.packed_rows import PackedRows
from lowerbound.data.reading import Limit
from lowerbound.data.remote import Location
from lowerbound.data.remote_copies import copied
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError
from lowerbound.runs.packing import pack

fsspec = pytest.importorskip("fsspec")
GREY = RNG.integers(0, 256, (30, 9, 8), np.uint8)


@pytest.fixture
def photos(tmp_path) -> Path:
    return save_images(tmp_path / "photos", {f"{at % 2}/{at}.png": Image.fromarray(x) for at, x in enumerate(GREY)})


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def test_a_folder_far_away_is_trained_on_like_a_local_one(photos, memory):
    memory.put(str(photos), "/bucket/photos", recursive=True)
    expected = load(DataConfig(source=str(photos)))
    for url in (photos.as_uri(), "memory://bucket/photos"):
        splits = load(DataConfig(source=url))
        assert (splits.checksum, splits.schema, splits.name, splits.source) == (
            expected.checksum,
            expected.schema,
            "photos",
            url,
        )


def test_a_file_far_away_is_packed_and_packed_data_far_away_are_read(tmp_path, memory):
    with memory.open("/bucket/array.npy", "wb") as file:
        np.save(file, GREY)
    np.save(tmp_path / "array.npy", GREY)
    packed = pack("memory://bucket/array.npy", tmp_path / "packed")
    expected = load(DataConfig(source=str(tmp_path / "array.npy")))
    assert not pack("memory://bucket/array.npy", tmp_path / "packed").is_new  # recognised by its content
    memory.put(str(tmp_path / "packed"), "/bucket/packed", recursive=True)
    location = Location("memory://bucket/packed")
    manifest = read_manifest(location)
    assert manifest == packed.manifest
    for name in ("train", "validation", "test"):
        rows = PackedRows(location, manifest, manifest.splits[name].shards)
        np.testing.assert_array_equal(rows.consecutive(0, len(rows))[0], getattr(expected, name).values)


def refused(url: str, **options) -> str:
    with pytest.raises(DataError) as caught, copied(url, **options) as copy:
        load(DataConfig(source=str(copy.path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_refusals_name_the_url(memory):
    with memory.open("/bucket/array.npy", "wb") as file:
        file.write(b"nothing of the kind")
    assert refused("memory://bucket/array.npy").startswith("memory://bucket/array.npy is not a .npy array")
    assert refused("memory://bucket/none").startswith("memory://bucket/none does not exist")
    message = refused("memory://bucket/array.npy", limit=Limit(3))
    assert message.startswith("memory://bucket/array.npy takes") and "data.max_gib" in message


def test_copies_are_removed(memory):
    with memory.open("/bucket/array.npy", "wb") as file:
        np.save(file, GREY)
    with copied("memory://bucket/array.npy") as copy:
        assert copy.path.is_file()
    assert not copy.path.parent.exists()
