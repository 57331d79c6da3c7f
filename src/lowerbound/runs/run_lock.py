"""The lock of a run directory: only one process at a time writes into it."""

from contextlib import AbstractContextManager
from pathlib import Path

from lowerbound.foundation.folder_lock import LOCK as LOCK  # re-exported
from lowerbound.foundation.folder_lock import locked_folder

SUBFOLDERS = ("checkpoints", "annealing", "figures")


def writing_into(run: Path) -> AbstractContextManager[None]:
    """Lock a run directory, creating it if necessary; RunError if another process is writing into it."""
    return locked_folder(run, SUBFOLDERS)
