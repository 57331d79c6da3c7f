"""A location, local or far away, is read in the same way, and what is wrong with it is said in one line."""

import json

import fsspec
import pytest
import torch

from lowerbound.data.batches import Batches
from lowerbound.data.remote import Location, file_system, is_remote
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError, RunError, UsageError
from packed_sets import packed_splits

FILES = {"a.json": json.dumps({"a": 1}).encode(), "b.bin": b"12345", "c.json": b"[1]", "d.json": b"{"}


@pytest.fixture(params=["local", "file", "memory"])
def location(request, tmp_path):
    system = fsspec.filesystem("memory")
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
        system.pipe(f"/bucket/{name}", content)
    yield Location({"local": tmp_path, "file": tmp_path.as_uri(), "memory": "memory://bucket"}[request.param])
    system.store.clear()


def test_files_are_found_measured_and_read(location):
    assert location.has("b.bin") and not location.has("e.bin")
    assert location.sizes(["b.bin", "e.bin"]) == {"b.bin": 5}
    assert location.read_bytes("b.bin") == b"12345"
    assert location.read_json("a.json") == {"a": 1}
    with location.open_arrow("b.bin") as file:
        file.seek(1)
        assert file.read(2) == b"23"


def test_damaged_and_missing_files_are_refused_in_one_line(location):
    for name, came in (("c.json", "not an object"), ("d.json", "not valid JSON")):
        with pytest.raises(RunError, match=came) as caught:
            location.read_json(name)
        assert f"{location}/{name}" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        location.read_bytes("e.bin")


def test_an_unknown_scheme_is_refused_and_a_path_is_none():
    with pytest.raises(UsageError, match="nothing://bucket"):
        Location("nothing://bucket").has("a")
    assert is_remote("s3://bucket/photos") and not is_remote("C:/photos") and not is_remote("photos:1")


@pytest.mark.parametrize("path", ["x" * 5000, "~nobody-of-this-name/images", "a\0b"])
def test_what_can_be_no_path_has_no_files(path):
    assert not Location(path).has("packed.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return packed_splits(tmp_path_factory.mktemp("sets") / "packed", load(DataConfig(source="digits")))


@pytest.fixture(scope="module")
def url(folder):
    """The same in fsspec's file system in memory."""
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/sets/packed", recursive=True)
    yield "memory://sets/packed"
    memory.rm("/sets", recursive=True)


def test_packed_data_behind_a_url_are_those_of_the_folder(folder, url):
    here, there = (load(DataConfig(source=str(source))) for source in (folder, url))
    assert here.checksum == there.checksum
    batches = (list(Batches(splits.train, 128).shuffled(0, 0)) for splits in (here, there))
    for one, other in zip(*batches, strict=True):
        torch.testing.assert_close(one.x, other.x, rtol=0, atol=0)


def test_a_missing_package_and_an_unknown_scheme_are_named(monkeypatch):
    def missing(url):
        raise ImportError("no s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(UsageError, match=r"s3://bucket/a needs s3fs besides fsspec; pip install s3fs"):
        file_system("s3://bucket/a")
    monkeypatch.undo()
    with pytest.raises(UsageError, match="is not a location that fsspec knows"):
        file_system("nowhere://bucket/a")
