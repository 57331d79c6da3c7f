"""Files and folders are written whole or not at all."""

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.storage import (
    FORMAT_VERSION,
    cache_folder,
    check_format_version,
    folder_atomically,
    sha256,
    write_atomically,
    write_bytes,
    write_text,
)
from lowerbound.foundation.tensor_files import save_tensors


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    with pytest.raises(OSError), folder_atomically(tmp_path / "drawn") as folder:
        (folder / "0.png").write_bytes(b"first")
        raise OSError("disk full")
    assert list(tmp_path.iterdir()) == []
    for content in (b"first", b"again"):
        with folder_atomically(tmp_path / "drawn") as folder:
            (folder / "0.png").write_bytes(content)
        (tmp_path / "drawn" / "mine.txt").touch()  # what has another name stays
    assert {path.name for path in tmp_path.rglob("*")} == {"drawn", "0.png", "mine.txt"}
    assert (tmp_path / "drawn" / "0.png").read_bytes() == b"again"


@pytest.mark.parametrize("interruption", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "ctrl-c"])
@pytest.mark.parametrize("old", [None, b"old"], ids=["absent", "present"])
def test_a_write_that_fails_midway_leaves_what_was_there_and_nothing_else(tmp_path, old, interruption):
    target = tmp_path / "file"
    if old is not None:
        target.write_bytes(old)

    def fail_midway(temporary):
        temporary.write_bytes(b"half of the n")
        raise interruption

    with pytest.raises(type(interruption)):
        write_atomically(target, fail_midway)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({} if old is None else {"file": old})


def test_a_write_replaces_the_whole_file_and_leaves_no_other(tmp_path):
    write_bytes(tmp_path / "file", b"a long first content")
    write_bytes(tmp_path / "file", b"short")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"short"}


def test_a_write_makes_the_folders_it_needs(tmp_path):
    write_text(tmp_path / "a" / "b" / "file", "∫ p(z) dz")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == "∫ p(z) dz".encode()


def test_who_holds_the_old_file_open_keeps_reading_it(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    with (tmp_path / "file").open("rb") as reader:
        write_bytes(tmp_path / "file", b"new")
        assert reader.read() == b"old"


def test_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("flush"), fsync(descriptor)))
    monkeypatch.setattr(Path, "replace", lambda self, target: (events.append("rename"), replace(self, target)))
    write_bytes(tmp_path / "file", b"content")
    assert events == ["flush", "rename", "flush"]  # the content, its name, and the folder that holds the name


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize(
    "write",
    [lambda path: write_bytes(path, b""), lambda path: save_tensors(path, {"x": torch.ones(1)}, {})],
    ids=["bytes", "tensors"],
)
def test_the_mode_of_a_file_follows_the_umask(tmp_path, umask, write):
    before = os.umask(umask)
    try:
        write(tmp_path / "file")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


# ---- tensors


def test_this_format_version_is_accepted_and_earlier_ones_are_refused_in_one_line():
    check_format_version(Path("config.toml"), FORMAT_VERSION)
    for version in range(1, FORMAT_VERSION):
        with pytest.raises(RunError, match=f"version {version}, but .* reads {FORMAT_VERSION}; train the run"):
            check_format_version(Path("config.toml"), version)


@pytest.mark.parametrize("version", [None, "1", 0, -1, 1.0])
def test_what_is_no_format_version_is_refused(version):
    with pytest.raises(RunError, match=r"config\.toml has no format version"):
        check_format_version(Path("config.toml"), version)


def test_the_checksum_of_a_file_is_its_sha256(tmp_path):
    content = json.dumps({"step": 7}).encode() * 1000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="the variable is that of Linux")
def test_the_cache_is_a_folder_of_this_program_in_that_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "lowerbound"
    assert not cache_folder().exists()
