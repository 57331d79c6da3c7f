"""Exported networks are kept by the checksum of their model; what is damaged counts as missing."""

import os

import pooch
import pytest

from lowerbound.inference import network_cache
from lowerbound.inference.network_cache import cached_file, read_network, write_network
from untrained_models import untrained_run

TABLE = {"x": [float(number) for number in range(40)], "kind": ["a", "b"] * 20}


@pytest.fixture
def file(monkeypatch, tmp_path):
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    untrained_run(tmp_path / "run", TABLE)
    return cached_file(tmp_path / "run", "encoder")


def test_what_was_written_is_read_for_the_same_weights_alone(file, tmp_path):
    assert read_network(file) is None
    write_network(file, b"content")
    assert read_network(file) == b"content"
    assert file.parent == tmp_path / "cache" / "lowerbound" / "networks"
    untrained_run(tmp_path / "other", TABLE, hidden=[5])
    others = [cached_file(tmp_path / "other", "encoder"), cached_file(tmp_path / "run", "decoder")]
    assert file not in others and [read_network(other) for other in others] == [None, None]


@pytest.mark.parametrize("damage", [lambda content: content[:-1] + b"\0", lambda content: content[:20], lambda _: b""])
def test_a_damaged_file_counts_as_missing_and_is_replaced(file, damage):
    write_network(file, b"content")
    file.write_bytes(damage(file.read_bytes()))
    assert read_network(file) is None
    write_network(file, b"content")
    assert read_network(file) == b"content"


def test_a_folder_that_cannot_be_written_to_is_no_failure(file, tmp_path):
    (tmp_path / "cache").write_text("a file")
    write_network(file, b"content")
    assert read_network(file) is None


def test_the_files_that_were_not_used_for_the_longest_time_are_removed(file, monkeypatch):
    monkeypatch.setattr(network_cache, "MOST_FILES", 2)
    names = [file.with_name(f"{name}.safetensors") for name in ("first", "second", "third")]
    for age, path in enumerate(names):
        write_network(path, b"content")
        os.utime(path, (age, age))
    assert [path.exists() for path in names] == [False, True, True]
    read_network(names[1])
    write_network(file, b"content")
    assert [path.exists() for path in (*names, file)] == [False, True, False, True]
