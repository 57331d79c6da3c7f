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


def test_a_packed_table_is_described_by_its_columns(capsys, tmp_path):
    rows = "".join(f"{index / 3:.2f},{'abc'[index % 3]}\n" for index in range(60))
    (tmp_path / "x.csv").write_text(f"size,kind\n{rows}")
    captured = in_process(capsys, "pack", tmp_path / "x.csv", tmp_path / "packed", "--quiet")
    assert "columns: size numeric, kind categorical (3 levels)" in captured.out
    about = json.loads(in_process(capsys, "pack", tmp_path / "x.csv", tmp_path / "packed", "--json").out)
    assert [column["name"] for column in about["columns"]] == ["size", "kind"]


def test_help_gives_an_example_that_packing_takes(capsys):
    shown = " ".join(in_process(capsys, "pack", "--help").out.replace("│", " ").split())
    assert "data.channels=1" in shown and "training." not in shown and "model." not in shown


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
