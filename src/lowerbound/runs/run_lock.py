"""The lock of a run directory: only one process at a time writes into it, of several ranks the first."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lowerbound.foundation import distributed
from lowerbound.foundation.folder_lock import LOCK as LOCK  # re-exported
from lowerbound.foundation.folder_lock import locked_folder

ENDING = 60.0  # seconds that a process which torchrun has replaced may take to end
SUBFOLDERS = ("checkpoints", "annealing", "figures")


@contextmanager
def writing_into(run: Path) -> Iterator[None]:
    """Lock a run directory, creating it if necessary; RunError if another process is writing into it.

    Of several ranks that train together the first holds the lock, and the others wait for it; after a restart it waits
    for the process that it replaces.
    """
    with ExitStack() as stack:
        with distributed.together():
            if distributed.is_writer():
                patience = 0.0 if distributed.is_first_started(str(run)) else ENDING
                stack.enter_context(locked_folder(run, SUBFOLDERS, patience))
        yield
