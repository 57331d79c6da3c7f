"""Packed data that were damaged are packed again."""

import numpy as np
import pytest

from lowerbound.runs.packing import pack


@pytest.mark.parametrize("damage", ["shard missing", "statistics missing", "byte flipped", "manifest edited"])
def test_damaged_data_that_are_packed_again_are_whole_again(tmp_path, damage):
    values = np.random.default_rng(0).integers(0, 256, (600, 4, 4), np.uint8)
    pack(values, tmp_path / "packed")
    folder = tmp_path / "packed"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    if damage == "shard missing":
        (folder / "test-00000.arrow").unlink()
    elif damage == "statistics missing":
        (folder / "statistics.safetensors").unlink()
    elif damage == "byte flipped":
        content = bytearray(before["train-00000.arrow"])
        content[len(content) // 2] ^= 1
        (folder / "train-00000.arrow").write_bytes(content)
    else:
        (folder / "packed.json").write_bytes(before["packed.json"].replace(b'"rows": 480', b'"rows": 479'))
    assert pack(values, folder).is_new
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not pack(values, folder).is_new
