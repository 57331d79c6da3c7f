"""Whether a run can start in a directory: it is empty, or holds only the beginning of the same run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowerbound.evaluation.frames import FOLDER as FRAMES
from lowerbound.foundation.errors import RunError, UsageError
from lowerbound.foundation.run_identity import CONFIG, identity_of, read_config, runs_in
from lowerbound.foundation.storage import check_is_no_dangling_link
from lowerbound.foundation.tensor_files import check_is_utf8
from lowerbound.foundation.text import pluralise
from lowerbound.runs.run_lock import LOCK
from lowerbound.runs.run_log import LOG
from lowerbound.runs.trackers import FOLDERS
from lowerbound.runs.tracking import STORED as TRACKED

CHECKPOINTS = "checkpoints"


def check_is_free(path: Path, can_resume: bool = True) -> None:
    """UsageError if a run cannot start in a directory because it is not empty; the message offers to resume, if it can.

    A run that ended before its first checkpoint leaves nothing worth keeping, so its directory is free.
    """
    check_is_utf8(path)
    check_is_no_dangling_link(path)
    if path.exists() and (not path.is_dir() or (_entries(path) and not _is_unstarted(path))):
        if names := runs_in(path):
            raise UsageError(
                f"{path} is not empty: it contains {pluralise(len(names), 'run')}; choose another directory.",
                hint="out",
            )
        if not can_resume:
            raise UsageError(f"{path} is not empty; choose another directory.", hint="out")
        raise UsageError(
            f"{path} is not empty; choose another directory, or resume the run in it.", hint="occupied", path=path
        )


def _entries(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.name != LOCK}


def _is_unstarted(path: Path) -> bool:
    """Whether a directory contains only what training writes before its first checkpoint."""
    entries = _entries(path)
    written = {CONFIG, LOG, CHECKPOINTS, TRACKED, FRAMES, *FOLDERS}
    if CONFIG not in entries or entries - written or any(path.glob(f"{CHECKPOINTS}/*")):
        return False
    try:
        return bool(read_config(path))
    except RunError:
        return False


def check_repeats(path: Path, config: Mapping[str, Any]) -> None:
    """UsageError if a directory contains the beginning of another run, which was killed before its first checkpoint."""
    identity = identity_of(path)
    if identity is not None and identity.id != config["run"]["id"]:
        raise UsageError(
            f"{path} contains the beginning of a run with other settings or data; choose another directory, resume "
            "that run, or remove the directory.",
            hint="occupied",
            path=path,
        )
