"""Frames of training for the page: codes of some test examples and decoded pictures at about twenty epochs."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.rows import content_of
from lowerbound.evaluation.frames import FOLDER, Frame, read_frames
from lowerbound.foundation.errors import RunError
from lowerbound.serving.explorer.loaded_run import Arrays

MIN_FRAMES = 2


def describe_frames(run: Path) -> dict[str, Any] | None:
    """The number of a run's frames and the kind of their pictures; None without frames, or if they are damaged."""
    files = sorted((run / FOLDER).glob("*.safetensors"))
    count, kind = _described(run, content_of(files)) if files else (0, "")
    return {"count": count, "kind": kind} if count >= MIN_FRAMES else None


@lru_cache(maxsize=64)
def _described(run: Path, files: tuple[Any, ...]) -> tuple[int, str]:
    """Number and kind of the frames of a run, 0 if they are damaged; read again only if the `files` have changed."""
    try:
        frames = _alike(read_frames(run))
    except RunError:
        return 0, ""
    return len(frames), frames[-1].about.kind if frames else ""


def frame_arrays(run: Path) -> Arrays:
    """Codes (frame, example, latent), pictures (frame, tile, height, width, channel), epochs, and labels if known.

    RunError for a run without frames, or with damaged ones.
    """
    frames = _alike(read_frames(run))
    if not frames:
        raise RunError(f"{run.name} has no frames of training; they are kept while a model trains.")
    last = frames[-1]
    labels = {} if last.labels is None else {"labels": last.labels.astype(np.int32)}
    return {
        "codes": np.stack([frame.codes for frame in frames]),
        "pictures": np.stack([frame.pictures for frame in frames]),
        "epochs": np.array([frame.about.epoch for frame in frames], np.int32),
        "is_kept": np.array([frame.about.is_kept for frame in frames], np.uint8),
        **labels,
    }


def _alike(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The frames of the same examples and pictures as the last one: others are from before a change of the settings."""
    return tuple(frame for frame in frames if _shapes(frame) == _shapes(frames[-1]))


def _shapes(frame: Frame) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return frame.codes.shape, frame.pictures.shape
