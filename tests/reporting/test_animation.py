"""Animations of training as files."""

import stat
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from lowerbound.foundation.errors import UsageError
from lowerbound.reporting import animation, theme
from lowerbound.reporting.animation import ALPHA, write_animation
from training_frames import made_frames


@pytest.fixture(scope="module")
def results(make_results):
    return make_results(manifold_sizes=())


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(animation, "DPI", 30)


def test_a_gif_has_a_picture_for_each_frame_of_which_the_last_stays(results, tmp_path):
    path = write_animation(results, made_frames(), tmp_path / "new" / "training.GIF")
    with Image.open(path) as image:
        assert image.format == "GIF"
        durations, pictures = [], []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
            pictures.append(np.asarray(image.convert("RGB")).astype(int))
    assert durations == [350, 350, 350, 2500]
    assert all((first != second).any() for first, second in pairwise(pictures))
    # The colours of labels survive the format's palette.
    for colour in theme.CATEGORIES:
        dot = 255 * (1 - ALPHA * (1 - np.array(to_rgb(colour))))
        assert (np.abs(pictures[-1] - dot).sum(-1) < 5).sum() > 20


@pytest.mark.usefixtures("coarse")
def test_the_same_frames_give_the_same_file_which_replaces_an_earlier_one(results, tmp_path):
    first = write_animation(results, made_frames(), tmp_path / "a.gif").read_bytes()
    (tmp_path / "b.gif").write_bytes(b"older")
    assert write_animation(results, made_frames(), tmp_path / "b.gif").read_bytes() == first
    assert {path.name for path in tmp_path.iterdir()} == {"a.gif", "b.gif"}


@pytest.mark.parametrize("name", ["a.png", "a", "a.gif.txt"])
def test_another_format_is_refused(results, tmp_path, name):
    with pytest.raises(UsageError, match=r"animations are written as \.gif or \.mp4"):
        write_animation(results, made_frames(), tmp_path / name)


def test_a_folder_is_refused(results, tmp_path):
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_animation(results, made_frames(), tmp_path / "a.gif")


def test_an_mp4_without_ffmpeg_is_refused_before_anything_is_drawn(results, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"\.mp4 needs ffmpeg, which is not installed"):
        write_animation(results, made_frames(), tmp_path / "a.mp4")


def with_ffmpeg(folder, monkeypatch, script):
    """A program of that name that runs a line of shell."""
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.usefixtures("coarse")
def test_ffmpeg_gets_numbered_pictures_and_writes_the_file(results, tmp_path, monkeypatch):
    script = 'for last; do :; done\nshift 5\nls "$(dirname "$2")" > "$last"'
    with_ffmpeg(tmp_path, monkeypatch, script)
    path = write_animation(results, made_frames(), tmp_path / "a.mp4")
    pictures = path.read_text().split()
    assert pictures == [f"{number:04d}.png" for number in range(4 + 7)]


@pytest.mark.usefixtures("coarse")
def test_a_failure_of_ffmpeg_is_one_line_and_leaves_no_file(results, tmp_path, monkeypatch):
    with_ffmpeg(tmp_path, monkeypatch, "echo first >&2; echo Unknown encoder >&2; exit 3")
    with pytest.raises(UsageError, match=r"ffmpeg failed \(Unknown encoder\); write a \.gif instead"):
        write_animation(results, made_frames(), tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()
