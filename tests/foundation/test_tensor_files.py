"""Tensors come back to the bit, and what is damaged is said to be so and never read as something else."""

import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from lowerbound.foundation import tensor_files
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.storage import (
    FORMAT_VERSION,
)
from lowerbound.foundation.tensor_files import load_tensors, save_tensors

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
    monkeypatch.setattr(tensor_files, "FORMAT_VERSION", FORMAT_VERSION + 1)
    save_tensors(tmp_path / "file", TENSORS, METADATA)
    monkeypatch.undo()
    with pytest.raises(RunError, match=rf"format version {FORMAT_VERSION + 1}.*install a newer lowerbound"):
        load_tensors(tmp_path / "file")


SAVE = """
import hashlib, sys
from pathlib import Path
import torch
from lowerbound.foundation.tensor_files import save_tensors
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
