"""Packed data are the data: the same examples as in memory, for any number of workers and of interruptions."""

import hashlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

import lowerbound as lb
from data_files import RNG, idx_bytes, refusal, save_images, written
from lowerbound.data import packing as writing
from lowerbound.data.packed_rows import PackedRows
from lowerbound.data.remote import Location
from lowerbound.data.sources import DataConfig, Splits, load, split_array
from lowerbound.foundation.errors import ConfigError, DataError, LowerboundError, UsageError
from lowerbound.runs.packing import Packed, pack

GREY = RNG.integers(0, 256, (40, 9, 8), np.uint8)
CLASSES = np.arange(40) % 3
PARTS = {"x_train": GREY[:24], "y_train": CLASSES[:24], "x_test": GREY[24:], "y_test": CLASSES[24:]}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def assert_same(packed: Packed, splits: Splits) -> None:
    """The packed splits have the values, labels, support and schema of those in memory."""
    manifest = packed.manifest
    for name in ("train", "validation", "test"):
        rows = PackedRows(Location(packed.path), manifest, manifest.splits[name].shards)
        values, labels = rows.consecutive(0, len(rows))
        expected = getattr(splits, name)
        np.testing.assert_array_equal(values, expected.values)
        np.testing.assert_array_equal(labels, expected.labels)
        assert manifest.splits[name].support == expected.support
    assert (manifest.schema, manifest.name) == (splits.schema, splits.name)
    assert (manifest.notes, manifest.skipped) == (splits.notes, splits.skipped)


def images(path: Path) -> Path:
    return save_images(path, {f"{CLASSES[at]}/{at}.png": Image.fromarray(pixels) for at, pixels in enumerate(GREY)})


def deep_images(path: Path) -> Path:
    deep = RNG.integers(0, 3000, (12, 9, 8)).astype(np.uint16)
    return save_images(path, {f"{at}.png": Image.fromarray(pixels) for at, pixels in enumerate(deep)})


def split_images(path: Path) -> Path:
    pictures = [Image.fromarray(pixels) for pixels in GREY]
    return save_images(
        path, {f"{'test' if at % 4 else 'train'}/{CLASSES[at]}/{at}.png": p for at, p in enumerate(pictures)}
    )


def zipped(path: Path) -> Path:
    import shutil

    return Path(shutil.make_archive(str(path), "zip", images(path.with_name("folder"))))


def saved(path: Path, values: np.ndarray) -> Path:
    np.save(path, values)
    return path


def archive(save, **arrays) -> "callable":
    def make(path: Path) -> Path:
        save(path.with_suffix(".npz"), **arrays)
        return path.with_suffix(".npz")

    return make


def safetensors(path: Path) -> Path:
    save_file(PARTS, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def table(path: Path) -> Path:
    lines = [f"{at / 7:.3f},{'abc'[at % 3]},{at % 5}" for at in range(40)]
    return written(path.with_suffix(".csv"), "\n".join(["length,kind,number", *lines, ""]).encode())


def gzipped(path: Path) -> Path:
    import gzip

    return written(path.with_name("train-images-idx3-ubyte.gz"), gzip.compress(idx_bytes(GREY)))


def missing_cells() -> np.ndarray:
    cells = RNG.normal(5000, 1, (40, 3))
    cells[::7, 1] = np.nan
    return cells


FILES = {
    "folder": images,
    "folder of 16 bits": deep_images,
    "folder of splits": split_images,
    "zip": zipped,
    "npy": lambda path: saved(path.with_suffix(".npy"), GREY),
    "npy of floats": lambda path: saved(path.with_suffix(".npy"), RNG.normal(2000, 1, (40, 3, 2)).astype(np.float64)),
    "npy in 8 bits": lambda path: saved(path.with_suffix(".npy"), GREY.astype(np.float32) / 255),
    "npy in Fortran order": lambda path: saved(path.with_suffix(".npy"), np.asfortranarray(GREY)),
    "npy with missing cells": lambda path: saved(path.with_suffix(".npy"), missing_cells()),
    "npy of numbers": lambda path: saved(path.with_suffix(".npy"), np.arange(40.0)),
    "npy, big-endian": lambda path: saved(path.with_suffix(".npy"), GREY.astype(">i4")),
    "npz": archive(np.savez, images=GREY, labels=CLASSES),
    "npz, compressed, with splits": archive(np.savez_compressed, **PARTS),
    "npz with splits": archive(np.savez, **PARTS),
    "safetensors": safetensors,
    "idx": lambda path: written(path.with_suffix(".idx"), idx_bytes(GREY)),
    "gzipped idx": gzipped,
    "csv": table,
}


@pytest.mark.parametrize("kind", FILES)
def test_packed_files_contain_what_training_reads_from_them(tmp_path, kind):
    path = FILES[kind](tmp_path / "data")
    assert_same(pack(path, tmp_path / "packed"), load(DataConfig(source=str(path))))


def test_settings_of_reading_apply_to_packing(tmp_path):
    path = images(tmp_path / "data")
    settings = {
        "size": "6x5",
        "resize": "fit",
        "channels": 3,
        "range": (0.0, 300.0),
        "split_seed": 3,
        "num_held_out": 7,
    }
    expected = load(DataConfig(source=str(path), **settings))
    assert_same(pack(path, tmp_path / "packed", settings={"data": settings}), expected)


def test_a_named_source_keeps_its_splits(tmp_path):
    assert_same(pack("digits", tmp_path / "packed"), load(DataConfig(source="digits")))


class Rows:
    """Rows that exist nowhere, with labels."""

    def __init__(self, values: np.ndarray, labels: np.ndarray | None = None) -> None:
        self.values, self.labels = values, labels
        self.most = 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key):
        found = self.values[key]
        self.most = max(self.most, len(found))
        return found if self.labels is None else (found, self.labels[key])


def test_objects_in_memory_and_sequences_are_packed_like_files(tmp_path):
    expected = split_array(GREY, CLASSES)
    assert_same(pack(GREY, tmp_path / "array", CLASSES), expected)
    assert_same(pack(Rows(GREY, CLASSES), tmp_path / "sequence"), expected)
    assert_same(pack(Rows(GREY), tmp_path / "labelled", CLASSES), expected)
    assert_same(pack(expected, tmp_path / "splits"), expected)
    frame = {"length": [at / 7 for at in range(40)], "kind": ["abc"[at % 3] for at in range(40)]}
    assert_same(pack(frame, tmp_path / "table"), split_array(frame))


def test_a_sequence_is_read_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("lowerbound.data.rows.PART_BYTES", 2**12)
    monkeypatch.setattr(writing, "READ_BYTES", 2**12)
    rows = Rows(RNG.integers(0, 256, (2000, 8, 8), np.uint8))
    pack(rows, tmp_path / "packed")
    assert rows.most < 300


def test_broken_examples_are_skipped_as_in_memory(tmp_path):
    folder = images(tmp_path / "data")
    content = (folder / "1" / "4.png").read_bytes()
    written(folder / "1" / "4.png", content[:-30])  # its header is whole
    written(folder / "2" / "5.png", b"")
    settings = {"skip_broken": True}
    expected = load(DataConfig(source=str(folder), **settings))
    assert len(expected.skipped) == 2
    assert_same(pack(folder, tmp_path / "packed", settings={"data": settings}), expected)
    values = RNG.normal(size=(40, 3, 2))
    values[7, 1, 1], values[9, 0, 0] = np.nan, np.inf
    path = saved(tmp_path / "array.npy", values)
    expected = load(DataConfig(source=str(path), **settings))
    assert_same(pack(path, tmp_path / "of array", settings={"data": settings}), expected)


def test_the_first_value_that_does_not_fit_is_refused_with_its_position(tmp_path, monkeypatch):
    monkeypatch.setattr("lowerbound.data.rows.PART_BYTES", 2**8)
    values = RNG.normal(size=(40, 3, 2))
    values[31, 1, 1] = np.nan
    path = saved(tmp_path / "array.npy", values)
    message = refusal(path)
    assert "example 31, element 1,1" in message
    assert refusal(path, read=lambda path: pack(path, tmp_path / "packed")) == message
    assert not (tmp_path / "packed").exists()


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 2**14)


def test_the_bytes_are_the_same_for_any_number_of_workers(tmp_path, small_shards):
    values = RNG.normal(3000, 1, (3000, 4, 4))
    path = saved(tmp_path / "array.npy", values)
    folders = [tmp_path / str(workers) for workers in (1, 2, 4)]
    for folder in folders:
        packed = pack(path, folder, workers=int(folder.name))
    assert len(packed.manifest.splits["train"].shards) > 5
    assert contents(folders[0]) == contents(folders[1]) == contents(folders[2])


def test_mean_and_deviation_are_those_of_the_training_split(tmp_path, small_shards):
    from safetensors.numpy import load_file

    path = saved(tmp_path / "array.npy", missing_cells().repeat(50, axis=0))
    pack(path, tmp_path / "packed")
    train = load(DataConfig(source=str(path))).train.values.astype(np.float64)
    found = load_file(tmp_path / "packed" / "statistics.safetensors")
    np.testing.assert_allclose(found["mean"], np.nanmean(train, axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found["deviation"], np.nanstd(train, axis=0), rtol=1e-12)


KILLED = """
import os, random, signal, sys, time
from lowerbound.data import packing
from lowerbound.runs.packing import pack
packing.SHARD_BYTES = 2**16
bits = random.Random(0)
for _ in range(6):
    child = os.fork()
    if not child:
        pack(sys.argv[1], sys.argv[2], workers=2)
        os._exit(0)
    time.sleep(bits.uniform(0.01, 0.15))
    os.kill(child, signal.SIGKILL)
    print(os.WIFSIGNALED(os.waitpid(child, 0)[1]))
"""


def test_packing_goes_on_after_kills_and_gives_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 2**16)
    path = saved(tmp_path / "array.npy", RNG.integers(0, 256, (60_000, 8, 8), np.uint8))
    pack(path, tmp_path / "whole")
    out = tmp_path / "packed"
    assert "True" in subprocess.check_output([sys.executable, "-c", KILLED, str(path), str(out)], text=True)
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("*.arrow")}
    pack(path, out, workers=1)
    assert contents(out) == contents(tmp_path / "whole")
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before  # finished shards were kept


def test_a_damaged_shard_is_written_again(tmp_path, small_shards):
    path = saved(tmp_path / "array.npy", GREY.repeat(100, axis=0))
    pack(path, tmp_path / "packed")
    expected = contents(tmp_path / "packed")
    (tmp_path / "packed" / "packed.json").unlink()
    shard = tmp_path / "packed" / "train-00001.arrow"
    shard.write_bytes(shard.read_bytes()[:-2000])
    pack(path, tmp_path / "packed")
    assert contents(tmp_path / "packed") == expected


def test_complete_data_are_left_as_they_are(tmp_path):
    first = pack(GREY, tmp_path / "packed")
    expected = contents(tmp_path / "packed")
    again = pack(GREY, tmp_path / "packed")
    assert (first.is_new, again.is_new, again.manifest) == (True, False, first.manifest)
    assert contents(tmp_path / "packed") == expected


def message_of(error: type[LowerboundError], *args, **kwargs) -> str:
    with pytest.raises(error) as caught:
        pack(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


def test_folders_with_other_contents_are_refused_and_left_as_they_are(tmp_path, small_shards):
    pack(GREY, tmp_path / "other")
    written(tmp_path / "mine" / "notes.txt", b"mine")
    pack(GREY, tmp_path / "half")
    (tmp_path / "half" / "packed.json").unlink()
    before = [contents(tmp_path / name) for name in ("other", "mine", "half")]
    assert "other packed data" in message_of(UsageError, GREY[:20], tmp_path / "other")
    assert "contains notes.txt" in message_of(UsageError, GREY, tmp_path / "mine")
    assert "interrupted" in message_of(UsageError, GREY[:20], tmp_path / "half")
    assert [contents(tmp_path / name) for name in ("other", "mine", "half")] == before


def test_data_in_the_output_and_output_in_the_data_are_refused(tmp_path):
    folder = images(tmp_path / "data")
    assert "is in the data" in message_of(UsageError, folder, folder / "packed")
    assert "are in" in message_of(UsageError, folder / "0", folder)
    pack(GREY, tmp_path / "packed")
    assert "packed data already" in message_of(UsageError, tmp_path / "packed", tmp_path / "again")


def test_data_that_change_while_they_are_packed_are_refused(tmp_path):
    path = saved(tmp_path / "array.npy", GREY.repeat(50, axis=0))

    def change(stage: str, done: int, total: int) -> None:
        os.utime(path, ns=(0, done))

    assert "changed while it was packed" in message_of(DataError, path, tmp_path / "packed", report=change)
    assert not (tmp_path / "packed" / "packed.json").exists()


def test_wrong_sizes_and_settings_are_refused(tmp_path):
    out = tmp_path / "packed"
    assert "at least 1" in message_of(ConfigError, GREY, out, test=0)
    assert "hold out fewer" in message_of(ConfigError, GREY, out, validation=30, test=10)
    assert "own test split" in message_of(ConfigError, "digits", out, test=5)
    assert "setting of training" in message_of(ConfigError, GREY, out, settings={"data": {"binarisation": "static"}})
    assert "section of training" in message_of(ConfigError, GREY, out, settings={"model": {"latent_dim": 3}})
    assert "workers" in message_of(UsageError, GREY, out, workers=0)
    assert not out.exists()


def test_sizes_of_splits_can_be_given(tmp_path):
    packed = pack(GREY, tmp_path / "packed", validation=3, test=5)
    assert {name: split.rows for name, split in packed.manifest.splits.items()} == {
        "train": 32,
        "validation": 3,
        "test": 5,
    }


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="needed"):
        pack(GREY, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize(
    ("came", "message"),
    [
        (lambda key: GREY[key][:1], "for 40 rows"),
        (lambda key: (GREY[key], CLASSES[key][:-1]), "labels"),
        (lambda key: 1 / 0, "ZeroDivisionError"),
        (lambda key: GREY[key].astype(str), "accepted: bool, integers or floats"),
    ],
)
def test_sequences_that_return_anything_else_are_refused(tmp_path, came, message):
    class Wrong(Rows):
        def __getitem__(self, key):
            return came(key) if not isinstance(key, slice) or key.stop - key.start > 1 else came(slice(0, 1))

    assert message in message_of(DataError, Wrong(GREY), tmp_path / "packed")


def test_the_python_interface_has_it():
    assert inspect.unwrap(lb.pack) is inspect.unwrap(pack)


MEASURED = """
import sys, re
from lowerbound.runs.packing import pack
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024
import numpy as np
from pathlib import Path
pack(np.zeros((400, 4), np.float32), Path(sys.argv[2]).with_name("warm"))
before = peak()
pack(sys.argv[1], sys.argv[2], workers=2)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_data(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "array.npy", "w+", np.uint8, (400_000, 32, 32))
    array[:] = np.arange(32, dtype=np.uint8)
    del array
    printed = subprocess.check_output(
        [sys.executable, "-c", MEASURED, str(tmp_path / "array.npy"), str(tmp_path / "out")]
    )
    assert int(printed) < 250  # MiB, for 390
