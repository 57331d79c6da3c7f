"""An animation of training as GIF or, where ffmpeg is installed, as MP4."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from lowerbound.evaluation.frames import Frame
from lowerbound.evaluation.results import Results
from lowerbound.foundation.errors import UsageError
from lowerbound.foundation.storage import check_is_no_dangling_link, write_atomically
from lowerbound.reporting import theme
from lowerbound.reporting.frame_plots import ALPHA, scene_of, training_frame

SUFFIXES = (".gif", ".mp4")
MILLISECONDS, LAST_MILLISECONDS = 350, 2_500  # of a frame, and of the last one
DPI = 90  # of which the pictures of an animation have fewer than those of a report
COLOURS = 256  # of a GIF
MIXTURES = (ALPHA, 0.55, 0.25)  # of a colour with white: dots, and the edges of dots and lines
LONGEST = 300  # seconds that ffmpeg may take


def check_animation(path: Path) -> None:
    """UsageError for a path that is not an animation's, or for an MP4 if ffmpeg is not installed."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path} ends in {path.suffix or 'nothing'!r}; animations are written as .gif or .mp4.")
    if suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise UsageError(f"{path}: .mp4 needs ffmpeg, which is not installed; install it, or write a .gif.")
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the name of a file.")
    check_is_no_dangling_link(path)


def write_animation(results: Results, frames: Sequence[Frame], path: Path) -> Path:
    """Write the frames of a run's training as an animation, atomically; raises as `check_animation` does."""
    check_animation(path)
    scene = scene_of(results, frames)
    pictures = [
        Image.fromarray(theme.pixels(training_frame(results, scene, index), DPI)) for index in range(len(frames))
    ]
    write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    write_atomically(path, lambda temporary: write(temporary, pictures))
    return path


def _write_gif(path: Path, pictures: list[Image.Image]) -> None:
    palette = _palette(pictures)
    first, *others = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    durations = [MILLISECONDS] * len(others) + [LAST_MILLISECONDS]
    first.save(path, format="GIF", save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


def _palette(pictures: list[Image.Image]) -> Image.Image:
    """One palette for all frames: the colours of labels and lines with their mixtures with paper, and those of the
    images. A search for colours alone would merge the dots, which are few pixels.
    """
    drawn = np.array([to_rgb(colour) for colour in (*theme.CATEGORIES, theme.INK, theme.MUTED, theme.FAINT)])
    shares = np.array(MIXTURES)[:, None, None]
    fixed = np.rint(255 * (1 - shares * (1 - drawn))).astype(np.uint8).reshape(-1, 3)
    some = Image.fromarray(np.concatenate([np.asarray(pictures[index]) for index in (0, len(pictures) // 2, -1)]))
    found = some.quantize(COLOURS - len(fixed) - 1).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([255, 255, 255, *fixed.ravel().tolist(), *found])
    return palette


def _write_mp4(path: Path, pictures: list[Image.Image]) -> None:
    shown = [*pictures, *[pictures[-1]] * (LAST_MILLISECONDS // MILLISECONDS)]
    with tempfile.TemporaryDirectory() as folder:
        for number, picture in enumerate(shown):
            picture.save(Path(folder) / f"{number:04d}.png")
        rate, pattern = f"1000/{MILLISECONDS}", str(Path(folder) / "%04d.png")
        # Even numbers of pixels and this format are what players accept.
        filters = "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white,fps=30,format=yuv420p"
        command = ["ffmpeg", "-y", "-loglevel", "error", "-framerate", rate, "-i", pattern, "-vf", filters]
        _run([*command, "-movflags", "+faststart", "-f", "mp4", str(path)])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"ffmpeg failed ({error}); write a .gif instead.") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise UsageError(f"ffmpeg failed ({reason}); write a .gif instead.")
