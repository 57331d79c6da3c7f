"""IDX files are found in folders, or downloaded with their checksums."""

import gzip
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from data_files import (
    as_archive,
    idx_contents,
    message_of,
    parts,
    positions,
    write_idx,
)
from lowerbound.data import sources
from lowerbound.data.idx_downloads import IDX_FILES, download
from lowerbound.data.sources import DataConfig, load
from lowerbound.foundation.errors import DataError


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The address of a server on this machine, and the folder that it serves."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("gzipped", [False, True])
def test_idx_files_are_found_in_the_data_dir(tmp_path, cache, gzipped):
    write_idx(tmp_path / "given" / "mnist", idx_contents(), gzipped)
    splits = load(DataConfig(source="mnist", data_dir=str(tmp_path / "given")))
    assert tuple(map(len, parts(splits))) == (22, 2, 5)
    assert sorted(positions(splits.train) + positions(splits.validation)) == list(range(24))
    assert positions(splits.test) == list(range(5))
    assert all((part.values[:, 0, 0, 0] % 10 == part.labels).all() for part in parts(splits))
    assert str(tmp_path / "given" / "mnist") in splits.source


def test_the_data_dir_goes_before_the_variable_and_the_variable_before_the_cache(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "variable"))
    config = DataConfig(source="mnist", data_dir=str(tmp_path / "given"))
    places = [cache / "mnist", tmp_path / "variable" / "mnist", tmp_path / "given" / "mnist"]
    for first_pixel, folder in enumerate(places, start=1):
        write_idx(folder, idx_contents(first_pixel=first_pixel))
        assert positions(load(config).test)[0] == first_pixel


def test_a_folder_that_lacks_a_file_is_passed_over(tmp_path, cache):
    write_idx(tmp_path / "given" / "mnist", idx_contents())
    (tmp_path / "given" / "mnist" / IDX_FILES[3]).unlink()
    write_idx(cache / "mnist", idx_contents(first_pixel=9))
    splits = load(DataConfig(source="mnist", data_dir=str(tmp_path / "given")))
    assert positions(splits.test)[0] == 9


def test_a_home_folder_is_expanded_in_the_data_dir(tmp_path, cache, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_idx(tmp_path / "given" / "mnist", idx_contents())
    assert len(load(DataConfig(source="mnist", data_dir="~/given")).test) == 5


@pytest.mark.parametrize("folder", ["given", "~nobody-of-this-name/given", "nul\0l"])
def test_absent_and_offline_is_one_line_with_where_was_looked_and_what_to_put_there(
    tmp_path, cache, monkeypatch, folder
):
    monkeypatch.setenv("LOWERBOUND_DATA", str(tmp_path / "variable"))
    write_idx(tmp_path / "variable" / "mnist", idx_contents())
    (tmp_path / "variable" / "mnist" / IDX_FILES[0]).unlink()
    message = message_of(DataError, DataConfig(source="mnist", data_dir=folder))
    assert message.startswith("mnist was not found in ")
    assert "given/mnist" in message or "nul\\x00l/mnist" in message
    assert f"{tmp_path}/variable/mnist (without {IDX_FILES[0]})" in message
    assert f"{cache}/mnist" in message
    assert "127.0.0.1: ConnectionError" in message
    assert all(f"{file}.gz" in message for file in IDX_FILES)


def serve(folder: Path, contents: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, content in contents.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))


def test_the_second_mirror_is_used_where_the_first_fails_or_serves_something_else(mirror, cache, monkeypatch):
    address, served = mirror
    serve(served / "bad", idx_contents(first_pixel=99))
    serve(served / "good", idx_contents())
    (served / "bad" / f"{IDX_FILES[0]}.gz").unlink()
    archive = as_archive(idx_contents(), f"{address}/bad/", f"{address}/good/")
    monkeypatch.setattr(sources, "MNIST_ARCHIVE", archive)
    splits = load(DataConfig(source="mnist"))
    assert positions(splits.test) == list(range(5))
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(f"{f}.gz" for f in IDX_FILES)
    # What was downloaded once is not downloaded again.
    shutil.rmtree(served)
    assert load(DataConfig(source="mnist")).checksum == splits.checksum


def test_a_wrong_checksum_leaves_no_file(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    address, served = mirror
    serve(served / "bad", idx_contents(first_pixel=99))
    archive = as_archive(idx_contents(), f"{address}/bad/", f"{address}/none/")
    with pytest.raises(DataError) as caught:
        download(archive, IDX_FILES[0], tmp_path / "target")
    assert str(caught.value) == "127.0.0.1: wrong checksum; 127.0.0.1: HTTP status 404"
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_every_file_of_an_archive_has_a_checksum_and_two_mirrors(name):
    archive = getattr(sources, f"{name.upper()}_ARCHIVE")
    assert tuple(archive.sha256) == IDX_FILES
    assert all(len(bytes.fromhex(digest)) == 32 for digest in archive.sha256.values())
    assert len(archive.mirrors) == 2 and all(mirror.endswith("/") for mirror in archive.mirrors)
