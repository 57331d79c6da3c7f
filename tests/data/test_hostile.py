"""Files that mean harm: refused in one line, in little memory, in little time, with nothing written anywhere."""

import gzip
import io
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from command_line import in_process, one_line
from data_files import COLOUR, IMAGES, idx_bytes, refusal, save_images, saved, written
from hostile_files import npy_start
from hostile_images import gzipped, png_of, zeros, zip_of
from lowerbound.data.files import read
from lowerbound.foundation.errors import DataError

PNG = saved(Image.fromarray(COLOUR).save, "png")
LIMIT = 2**28  # bytes that reading may take
LARGE = 3 * 2**27
TIME = 60  # seconds: enough for anything but a reader that hangs

CONTENTS = {
    ".png": PNG,
    ".jpg": saved(Image.fromarray(COLOUR).save, "jpeg"),
    ".npy": saved(np.save, IMAGES),
    ".npz": saved(np.savez_compressed, images=IMAGES),
    ".csv": b"height,city\n1.75,Oslo\n1.62,Bonn\n1.81,Oslo\n",
    ".parquet": b"PAR1" + bytes(40) + b"PAR1",
    ".arrow": b"ARROW1\0\0" + bytes(40),
    ".safetensors": struct.pack("<Q", 2) + b"{}",
    ".gz": gzip.compress(idx_bytes(IMAGES)),
    ".idx": idx_bytes(IMAGES),
    ".pickle": b"\x80\x04\x95\x0b\0\0\0\0\0\0\0\x8c\x02os\x8c\x06system\x93.",
    ".html": b"<!doctype html><title>404</title>",
    ".empty": b"",
    ".gif": saved(Image.fromarray(COLOUR).quantize(8).save, "gif"),
}
SUFFIXES = (*(suffix for suffix in CONTENTS if suffix not in (".empty", ".html")), ".zip", ".tsv", ".tif", "")


@settings(max_examples=150)
@given(content=st.sampled_from(sorted(CONTENTS)), suffix=st.sampled_from(SUFFIXES))
def test_a_file_under_a_false_name_is_read_or_refused_in_one_line(tmp_path_factory, content, suffix):
    path = written(tmp_path_factory.getbasetemp() / "renamed" / f"data{suffix}", CONTENTS[content])
    try:
        assert len(read(path).examples) > 0
    except DataError as error:
        assert str(error).startswith(str(path)) and str(error).isprintable()
    finally:
        path.unlink()


# ---- archives


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NAMES = st.lists(
    st.sampled_from(["..", "../..", "/etc", "C:", "\\\\server", "~", ".", "", "a", "con", "ü\u202e", "\x1b[31m", "%s"]),
    max_size=4,
).map(lambda parts: "/".join([*parts, "x.png"]))


@settings(max_examples=60)
@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_whatever_members_are_called_they_are_read_in_memory_alone(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp() / "archive" / "inner"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, PNG)
    before = tree(folder.parent)
    try:
        collection = read(folder / "a.zip")
        assert len(collection.examples) == len(collection.ids) <= len(names)
        assert all(name.isprintable() for name in collection.ids)
    except DataError as error:
        assert str(error).isprintable()
    assert tree(folder.parent) == before


def test_training_on_a_hostile_archive_writes_into_the_runs_directory_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    with zipfile.ZipFile("images.zip", "w") as archive:
        for number in range(12):
            archive.writestr(f"../../{number}.png", saved(Image.fromarray(COLOUR + number).resize((8, 8)).save, "png"))
    before = tree(tmp_path)
    in_process(capsys, "train", "images.zip", "--out", "run", "--epochs", 1, "--quiet")
    added = set(tree(tmp_path)) - set(before)
    assert added and all(Path(path).is_relative_to(tmp_path / "work" / "run") for path in added)


def test_what_is_refused_leaves_nothing_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    written(Path("images.zip"), b"PK\x03\x04 not much of an archive")
    before = tree(tmp_path)
    for words in (["train", "images.zip", "--out", "run"], ["inspect", "images.zip"]):
        assert "is not a zip archive of images" in one_line(in_process(capsys, *words, expect=1).err)
    assert tree(tmp_path) == before and not Path("run").exists()


def test_a_link_in_an_archive_is_no_way_to_other_files(tmp_path):
    save_images(tmp_path, {"private/secret.png": Image.fromarray(COLOUR)})
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, 0o120777 << 16  # Unix, a symbolic link
    inside = zipfile.ZipInfo("link.png")
    inside.create_system, inside.external_attr = link.create_system, link.external_attr
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", PNG)
        archive.writestr(link, str(tmp_path / "private"))
    assert read(tmp_path / "a.zip").ids == ("a.png",)
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr(inside, str(tmp_path / "private" / "secret.png"))
    assert "a.zip:link.png is not a PNG" in refusal(tmp_path / "a.zip")


def test_a_folder_that_links_to_itself_is_refused_with_the_link(tmp_path):
    save_images(tmp_path, {"mine/a.png": Image.fromarray(COLOUR), "mine/b/c.png": Image.fromarray(COLOUR)})
    link = tmp_path / "mine" / "b" / "loop"
    link.symlink_to(tmp_path / "mine")
    assert "is a link to one of its parent folders" in refusal(tmp_path / "mine", named=link)
    link.unlink()
    link.symlink_to(link)
    assert "Too many levels of symbolic links" in refusal(tmp_path / "mine")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes in folders")
def test_a_pipe_among_images_is_not_waited_for(tmp_path):
    save_images(tmp_path, {"a.png": Image.fromarray(COLOUR)})
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    assert "is not a file" in refusal(tmp_path, named=tmp_path / "pipe.png")
    (tmp_path / "pipe.png").unlink()
    assert read(tmp_path).notes == ("not images, skipped: pipe",)


# ---- bombs


def many_members(num: int) -> bytes:
    file, image = io.BytesIO(), png_of(8000, 8000, zeros(2**24))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(num):
            archive.writestr(f"{number}.png", image)
    return file.getvalue()


BOMBS = {
    "claims.png": lambda: png_of(2**31 - 1, 2**31 - 1, b""),
    "pixels.png": lambda: png_of(60_000, 60_000, zeros(2**26)),
    "large-idat.png": lambda: png_of(10, 10, zeros(LARGE)),
    "claims.tif": lambda: b"II*\0\x08\0\0\0\x02\0" + struct.pack("<2HII2HII", 256, 4, 1, 2**31, 257, 4, 1, 2**31),
    "claims.gif": lambda: b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x08\1\1\0;",
    "no-suffix": lambda: png_of(60_000, 60_000, zeros(2**26)),
    "claims.npy": lambda: npy_start("(1000000, 1000000)", "<f4") + bytes(100),
    "negative.npy": lambda: npy_start("(-1, 5)", "<f4") + bytes(100),
    "long-header.npy": lambda: npy_start("(" + "1," * 30_000 + ")", "<f4", 65_000) + bytes(100),
    "nested-header.npy": lambda: npy_start("(" * 20_000, "<f4") + bytes(100),
    "zeros.npz": lambda: zip_of("images.npy", LARGE),
    "zeros.zip": lambda: zip_of("image.png", LARGE),
    "many.zip": lambda: many_members(40),
    "claims.idx": lambda: struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 30_000, 30_000) + bytes(10),
    "short-idx3-ubyte.gz": lambda: gzipped(LARGE, struct.pack(">4B3I", 0, 0, 8, 3, 10, 2, 2)),
    "claims.safetensors": lambda: struct.pack("<Q", 2**62) + b"{}",
    "nested.safetensors": lambda: struct.pack("<Q", 100_000) + b"[" * 100_000,
    "quotes.csv": lambda: b',"' * 2**18,
    "one-line.csv": lambda: b"a,b\n" + b"1" * 2**24,
    "columns.csv": lambda: b",".join(b"%d" % number for number in range(10**6)) + b"\n",
}

READ_ALL = """
import resource, sys, time
from pathlib import Path
from lowerbound.data.files import read
from lowerbound.foundation.errors import DataError

def address_space():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))

limit = address_space() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name in sys.argv[2:]:
    try:
        print(name, "read", len(read(Path(name)).examples), flush=True)
    except DataError as error:
        print(str(error), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by what Linux offers")
def test_a_bomb_takes_no_more_than_a_quarter_of_a_gibibyte(tmp_path):
    paths = [str(written(tmp_path / name, make())) for name, make in BOMBS.items()]
    finished = subprocess.run(
        [sys.executable, "-c", READ_ALL, str(LIMIT), *paths],
        capture_output=True,
        text=True,
        timeout=TIME,
        check=True,
    )
    lines = finished.stdout.splitlines()
    assert len(lines) == len(paths)
    for path, line in zip(paths, lines, strict=True):
        # Running out of memory is a refusal, too, but a late one. What follows an image in its file is never unpacked.
        assert line.startswith(path) and "Memory" not in line, line
        assert (" read " in line) == path.endswith("large-idat.png"), line
    assert not finished.stderr
    assert {path.name for path in tmp_path.iterdir()} == set(BOMBS)


def test_a_pickle_is_never_loaded_whatever_the_file_is_called(tmp_path):
    touched = tmp_path / "touched"
    harm = b"cos\nsystem\n(S'touch " + str(touched).encode() + b"'\ntR."
    for suffix in SUFFIXES:
        refusal(written(tmp_path / f"data{suffix}", harm))
    array = np.array([{}], dtype=object)
    assert "pickle" in refusal(written(tmp_path / "objects.npy", saved(np.save, array, allow_pickle=True)))
    assert not touched.exists()
