"""Files are whole or absent, and what is damaged is said to be so and never read as something else."""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lowerbound.foundation import storage
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.storage import (
    FORMAT_VERSION,
    check_format_version,
    folder_atomically,
    load_tensors,
    save_tensors,
    sha256,
    write_atomically,
    write_bytes,
    write_text,
)

TENSORS = {
    "bfloat16": torch.tensor([1.5, -2.0, math.inf], dtype=torch.bfloat16),
    "bool": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
    "float64": torch.tensor([[0.1, math.nan], [-0.0, 1e-310]], dtype=torch.float64),
    "int64": torch.tensor([2**62, -1]),
    "transposed": torch.arange(6.0).reshape(2, 3).T,
    "uint8": torch.arange(256).to(torch.uint8),
    "zero-dim": torch.tensor(3.25),
}
METADATA = {"step": 7, "name": "ELBO ≤ log p(x)", "nested": {"none": None, "list": [1, 2.5]}}
DAMAGED = "is damaged"


def bits(tensor):
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().flatten().view(torch.uint8).tolist()


def are_the_original(tensors, metadata):
    return metadata == METADATA and {name: bits(tensor) for name, tensor in tensors.items()} == {
        name: bits(tensor) for name, tensor in TENSORS.items()
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "whole.safetensors"
    save_tensors(path, TENSORS, METADATA)
    return path


def load_bytes(beside, content):
    path = beside.with_name("changed.safetensors")
    path.write_bytes(content)
    return load_tensors(path)


# ---- atomic writes


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
    [lambda path: write_bytes(path, b""), lambda path: save_tensors(path, TENSORS, {})],
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


def test_tensors_of_every_type_and_shape_come_back_to_the_bit(saved):
    assert are_the_original(*load_tensors(saved))


def test_tensors_that_are_being_trained_are_saved_without_their_history(tmp_path):
    weight = torch.ones(3, requires_grad=True)
    save_tensors(tmp_path / "file", {"weight": weight * 2}, {})
    assert load_tensors(tmp_path / "file")[0]["weight"].tolist() == [2, 2, 2]


def test_loaded_tensors_outlive_the_file_they_came_from(tmp_path):
    path = tmp_path / "file"
    save_tensors(path, TENSORS, METADATA)
    loaded = load_tensors(path)
    save_tensors(path, {"other": torch.zeros(1000)}, {})
    path.unlink()
    assert are_the_original(*loaded)


@settings(max_examples=300)
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_flipped_byte_is_noticed_or_changes_nothing(saved, data, mask):
    content = bytearray(saved.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1), label="position")] ^= mask
    try:
        loaded = load_bytes(saved, content)
    except RunError:
        return
    assert are_the_original(*loaded)


@settings(max_examples=100)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(saved, data):
    content = saved.read_bytes()
    with pytest.raises(RunError, match=DAMAGED):
        load_bytes(saved, content[: data.draw(st.integers(0, len(content) - 1), label="length")])


@settings(max_examples=50)
@given(content=st.binary(max_size=200))
def test_any_other_bytes_are_refused(saved, content):
    with pytest.raises(RunError, match=DAMAGED):
        load_bytes(saved, content)


@pytest.mark.parametrize("place", ["metadata", "tensor"])
def test_an_exchanged_value_of_the_same_size_is_noticed(saved, place):
    old, new = {"metadata": (b"step", b"stop"), "tensor": (bytes(range(5, 9)), bytes(range(6, 10)))}[place]
    content = saved.read_bytes()
    assert content.count(old) == 1
    with pytest.raises(RunError, match="checksum"):
        load_bytes(saved, content.replace(old, new))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match=r"absent\.safetensors does not exist"):
        load_tensors(tmp_path / "absent.safetensors")


def test_a_file_of_another_program_is_refused(tmp_path):
    save_file({"weight": torch.ones(2)}, tmp_path / "file")
    with pytest.raises(RunError, match="not written by lowerbound"):
        load_tensors(tmp_path / "file")


def test_a_file_of_a_newer_version_is_refused_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "FORMAT_VERSION", FORMAT_VERSION + 1)
    save_tensors(tmp_path / "file", TENSORS, METADATA)
    monkeypatch.undo()
    with pytest.raises(RunError, match=rf"format version {FORMAT_VERSION + 1}.*install a newer lowerbound"):
        load_tensors(tmp_path / "file")


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
    content = json.dumps(METADATA).encode() * 1000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


SAVE = """
import hashlib, sys
from pathlib import Path
import torch
from lowerbound.foundation.storage import save_tensors
names = {"b/weight", "a", "c.bias", "é", "z" * 40}  # a set: its order follows PYTHONHASHSEED
tensors = {name: torch.arange(3.0) + len(name) for name in names} | {"d": torch.tensor([1], dtype=torch.uint8)}
save_tensors(Path(sys.argv[1]), tensors, {name: len(name) for name in names})
"""


def test_the_same_content_has_the_same_bytes_in_every_process(tmp_path):
    paths = {seed: tmp_path / f"{seed}.safetensors" for seed in ("1", "2")}
    processes = [
        subprocess.Popen([sys.executable, "-c", SAVE, str(path)], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed, path in paths.items()
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert paths["1"].read_bytes() == paths["2"].read_bytes()
    tensors, metadata = load_tensors(paths["1"])
    assert list(metadata) == sorted(metadata) and tensors["é"].tolist() == [1, 2, 3]


def test_the_same_content_has_the_same_bytes_every_time_and_in_any_order(tmp_path):
    contents = set()
    for number in range(10):
        reverse = number % 2 == 1
        save_tensors(
            tmp_path / "x.safetensors",
            dict(sorted(TENSORS.items(), reverse=reverse)),
            dict(sorted(METADATA.items(), reverse=reverse)),
        )
        contents.add((tmp_path / "x.safetensors").read_bytes())
    assert len(contents) == 1
    assert are_the_original(*load_tensors(tmp_path / "x.safetensors"))
