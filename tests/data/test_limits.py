"""What a file claims is compared with a limit before it is decoded; the refusal names the setting that raises it."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from command_line import in_process, one_line
from data_files import refusal, saved, written
from hostile_files import HOSTILE, OTHERS
from hostile_files import IMAGES as IMAGE_FILES
from lowerbound.data import folders, label_files, parquet
from lowerbound.data.files import ReadingOptions, read
from lowerbound.data.reading import STANDARD_LIMIT, Limit
from lowerbound.data.sources import DataConfig, collect
from lowerbound.data.tables import read_csv
from lowerbound.foundation.errors import ConfigError, DataError, TooLarge

MIB = 2**20
SMALL = 4 * MIB

WITHIN = {  # what each small file takes, when it is read under the limit of 4 MiB
    "images.zip": "pixels, but the limit is",
    "overlapping.zip": "unpacks to",
    "zeros.zip": "unpacks to",
    "deep": "is nested 100 folders deep",
    "zeros.npz": "unpacks to",
    "splits.npz": "with its splits put together",
    "objects.npz": "pickled",
    "header.npy": "version 2.0",
    "sparse.npy": "takes",
    "zeros-idx3-ubyte.gz": "declares",
    "rows.parquet": "cells or more",
    "texts.parquet": "unpacks to more than",
    "prefixes.parquet": "unpacks to more than",
    "lists.parquet": "cells or more",
    "rows.csv": "cells or more",
    "line.csv": "field larger",
    "quoted.csv": "is never closed",
    "texts.arrow": "takes",
    "offsets.arrow": "takes",
    "pixels.png": "pixels, but the limit is",
    "more-pixels.png": "pixels, but the limit is",
    "tiles.tif": "tiles, but the limit is",
}


def within(num_bytes):
    return lambda path: read(path, ReadingOptions(limit=Limit(num_bytes)))


@pytest.mark.parametrize("name", WITHIN)
def test_a_small_hostile_file_is_refused_under_a_small_limit(tmp_path, name):
    if name == "deep" and sys.platform == "win32":
        pytest.skip("Windows has no such paths")
    if name.endswith(".arrow"):
        pytest.importorskip("datasets")
    path = HOSTILE[name].write(tmp_path, HOSTILE[name].small)
    with pytest.raises(DataError) as caught:
        within(SMALL)(path)
    message = str(caught.value)
    assert WITHIN[name] in message
    assert message.startswith(str(path)) and "Memory" not in message


@pytest.mark.parametrize("name", ["zeros-idx3-ubyte.gz", "texts.parquet", "pixels.png"])
def test_the_setting_that_a_refusal_names_raises_the_limit(tmp_path, capsys, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = HOSTILE[name].write(tmp_path, HOSTILE[name].small)
    low = ["inspect", path, "--max-gib", "0.001"]
    line = one_line(in_process(capsys, *low, expect=1).err)
    assert (
        "the limit is" in line
        and "raise the limit data.max_gib to 1" in line
        and line.endswith("Option: --max-gib GIB.")
    )
    for settings in (["--max-gib", "1"], ["--set", "data.max_gib=1"], []):
        assert "the limit is" not in in_process(capsys, "inspect", path, *settings, expect=None).err


def test_a_run_keeps_its_limit_and_python_sets_it(tmp_path):
    path = written(tmp_path / "x.npy", saved(np.save, np.zeros((100, 9, 9), np.uint8)))
    with pytest.raises(TooLarge, match=r"data.max_gib"):
        collect(DataConfig(source=str(path), max_gib=1e-6))
    assert len(collect(DataConfig(source=str(path), max_gib=1e-5)).examples) == 100
    assert DataConfig().max_gib * 2**30 == STANDARD_LIMIT.max_bytes
    for wrong in (0.0, -1.0, float("nan"), float("inf"), 1e300):
        with pytest.raises(ConfigError, match=r"data.max_gib .*needs .*above 0"):
            collect(DataConfig(source=str(path), max_gib=wrong))


def test_a_table_of_more_columns_than_are_accepted_is_refused_with_what_to_do(tmp_path):
    for name in ("columns.csv", "columns.parquet"):
        path = HOSTILE[name].write(tmp_path, 20_001)
        assert "has 20,001 columns" in refusal(path)
    assert "the limit is 20,000; save it as a .npy array" in refusal(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows needs a right for links")
def test_links_that_double_at_every_level_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_FOLDERS", 1_000)
    path = HOSTILE["links"].write(tmp_path, HOSTILE["links"].small)
    assert "contains 1,001 folders or more, but the limit is 1,000" in refusal(path)


def test_where_texts_of_an_arrow_file_begin_is_checked_before_it_is_believed(tmp_path):
    pytest.importorskip("datasets")
    assert "is not a data set" in refusal(HOSTILE["offsets.arrow"].write(tmp_path, 10))


def test_rows_of_labels_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(label_files, "MAX_ROWS", 1_000)
    path = HOSTILE["labels"].write(tmp_path, 1_001)
    assert "has more than 1,000 rows" in refusal(path, named=path / "labels.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy", ".npz", ".zip", ".png", ".arrow", ".safetensors", ""])
def test_a_pipe_or_a_device_is_no_input(tmp_path, suffix):
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    refusal(pipe)
    device = tmp_path / f"device{suffix}"
    device.symlink_to("/dev/zero")
    refusal(device)
    if suffix == ".csv":
        refusal(pipe, read=read_csv)


def test_a_table_that_grows_while_it_is_read_is_refused_when_it_passes_the_limit(tmp_path, monkeypatch):
    path = written(tmp_path / "x.csv", b"a,b\n1,2\n3,4\n")
    small = path.stat()
    written(path, b"a,b\n" + b"1,2\n" * 1_000)
    monkeypatch.setattr(Path, "stat", lambda self, **_: small)
    with pytest.raises(TooLarge, match="takes as text"):
        within(10_000)(path)


def test_an_image_that_vanishes_or_changes_between_its_header_and_its_pixels_is_named(tmp_path, monkeypatch):
    from lowerbound.data import images

    header_of = images.read_header
    for change, reason in ((Path.unlink, "No such file"), (_in_colour, "has changed while it was read")):
        path = tmp_path / "a.png"
        Image.new("I;16", (8, 8)).save(path)

        def then_changed(entry, limit, change=change, path=path):
            found = header_of(entry, limit)
            change(path)
            return found

        monkeypatch.setattr(images, "read_header", then_changed)
        assert reason in refusal(tmp_path, named=path)


def _in_colour(path):
    Image.new("RGB", (8, 8)).save(path)


def test_texts_of_a_dictionary_are_read_once_and_those_of_other_encodings_as_they_are(tmp_path):
    import pyarrow
    from pyarrow import parquet as arrow

    texts, numbers = [f"level {number % 3}" for number in range(5_000)], list(range(5_000))
    table = pyarrow.table({"t": texts, "n": numbers})
    ways = {
        "dictionary": {},
        "plain": {"use_dictionary": False},
        "prefixes": {"use_dictionary": False, "column_encoding": {"t": "DELTA_BYTE_ARRAY", "n": "PLAIN"}},
        "lengths": {"use_dictionary": False, "column_encoding": {"t": "DELTA_LENGTH_BYTE_ARRAY", "n": "PLAIN"}},
        "groups": {"row_group_size": 100},
    }
    for name, options in ways.items():
        path = tmp_path / f"{name}.parquet"
        arrow.write_table(table, path, **options)
        columns = parquet.read_parquet(path).columns
        assert columns == {"t": texts, "n": numbers}
        if name != "plain":
            assert name in ("prefixes", "lengths") or len(set(map(id, columns["t"]))) == 3


# ---- of true size

MEASURED = """
import sys
from pathlib import Path
from lowerbound.data.files import read
from lowerbound.foundation.errors import DataError
try:
    read(Path(sys.argv[1]))
    print("read")
except DataError as error:
    print(error)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.fixture
def emptied(tmp_path):
    """The test's folder is removed by a program that no depth of folders stops: pytest's own removal is recursive."""
    yield
    subprocess.run(["rm", "-rf", tmp_path], check=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured by what Linux offers")
@pytest.mark.parametrize("name", [one.name for one in (*IMAGE_FILES, *OTHERS) if one.name not in ("rows.csv", "links")])
def test_a_hostile_file_of_true_size_takes_no_more_than_the_limit(tmp_path, emptied, name):
    builder = threading.Thread(target=HOSTILE[name].write, args=(tmp_path,))
    builder.start()
    builder.join()
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, str(tmp_path / name)], capture_output=True, text=True, check=True, timeout=300
    )
    message, peak = finished.stdout.splitlines()
    assert int(peak) * MIB < STANDARD_LIMIT.max_bytes and "Memory" not in message
