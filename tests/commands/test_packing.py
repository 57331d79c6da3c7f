"""The command pack: what it prints, and how it refuses."""

import json

import numpy as np

from command_line import in_process, one_line
from digits_runs import SHORT
from lowerbound.runs.packing import pack
from lowerbound.runs.run import train


def test_it_states_what_it_packed_and_that_it_was_packed_before(capsys, tmp_path):
    captured = in_process(capsys, "pack", "digits", tmp_path / "packed", "--quiet")
    assert "train 1,257, validation 180, test 360" in captured.out
    assert captured.out.splitlines()[-1] == f"packed: {tmp_path / 'packed'}"
    assert captured.err == ""
    captured = in_process(capsys, "pack", "digits", tmp_path / "packed", "--json")
    about = json.loads(captured.out)
    assert (about["is_new"], about["splits"]["train"], about["shape"]) == (False, 1257, [8, 8, 1])


def test_options_are_those_of_python(capsys, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (40, 9, 8), np.uint8)
    np.save(tmp_path / "array.npy", values)
    words = ["--validation", 4, "--test", 3, "--workers", 1, "--set", "data.range=[0, 300]"]
    in_process(capsys, "pack", tmp_path / "array.npy", tmp_path / "packed", *words)
    settings = {"data": {"range": (0.0, 300.0)}}
    again = pack(tmp_path / "array.npy", tmp_path / "packed", settings=settings, validation=4, test=3)
    assert not again.is_new and again.manifest.schema.range == (0, 300)


def test_new_data_of_a_run_are_read_by_its_schema_and_are_one_split(capsys, tmp_path):
    run = train("digits", recipe="dense", settings=SHORT, epochs=1, out=tmp_path / "run").path
    values = np.random.default_rng(0).integers(0, 17, (30, 8, 8), np.uint8)
    np.save(tmp_path / "array.npy", values)
    in_process(capsys, "pack", tmp_path / "array.npy", tmp_path / "packed", "--for", run)
    packed = pack(tmp_path / "array.npy", tmp_path / "packed", for_run=run)
    assert {name: split.rows for name, split in packed.manifest.splits.items()} == {"test": 30}
    assert packed.manifest.schema.range == (0, 16)
    np.save(tmp_path / "array.npy", values + np.uint8(100))
    captured = in_process(capsys, "pack", tmp_path / "array.npy", tmp_path / "other", "--for", run, expect=2)
    assert "example 0" in one_line(captured.err.removeprefix("packing ...\n")) and not (tmp_path / "other").exists()
