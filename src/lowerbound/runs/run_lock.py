"""The lock of a run directory: only one process at a time writes into it.

It is a lock of the operating system (flock), which ends with its process, however that ends. The lock file names the
holder and is removed at the end; a file that a killed process left behind locks nothing.
"""

import errno
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from lowerbound.foundation import distributed
from lowerbound.foundation.errors import RunError
from lowerbound.foundation.storage import lock_descriptor, make_folder, remove_remains

LOCK = ".lock"
ENDING = 60.0  # seconds that a process which torchrun has replaced may take to end
SUBFOLDERS = ("checkpoints", "annealing", "figures")


@contextmanager
def writing_into(run: Path) -> Iterator[None]:
    """Lock a run directory, creating it if necessary; RunError if another process is writing into it.

    Temporary files of killed processes are removed first. Directories that were created here and are empty at the end
    are removed again. Of several ranks that train together the first holds the lock, and the others wait for it; after
    a restart it waits for the process that it replaces.
    """
    with ExitStack() as stack:
        with distributed.together():
            if distributed.is_writer():
                stack.enter_context(_locked(run))
        yield


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    new = [folder for folder in (run, *run.parents) if not folder.exists()]
    make_folder(run)
    descriptor = _acquired(run)
    try:
        for folder in (run, *(run / name for name in SUBFOLDERS)):
            remove_remains(folder)
        yield
    finally:
        (run / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # not empty
            for folder in new:
                folder.rmdir()


def _acquired(run: Path) -> int:
    path = run / LOCK
    deadline = time.monotonic() + (0.0 if distributed.is_first_started(str(run)) else ENDING)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not lock_descriptor(descriptor):
                if time.monotonic() < deadline:
                    os.close(descriptor)
                    time.sleep(0.2)
                    continue
                raise RunError(
                    f"another process is writing into {run}{_holder(path)}; wait for it to end, stop it, or "
                    "choose another directory."
                )
            if _is_at(descriptor, path):
                _state_holder(descriptor)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between opening and locking


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _state_holder(descriptor: int) -> None:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    command = shlex.join([Path(sys.argv[0] or "python").name, *sys.argv[1:]])
    os.ftruncate(descriptor, 0)
    try:
        content = json.dumps({"process": os.getpid(), "started": started, "command": command}) + "\n"
        os.pwrite(descriptor, content.encode(), 0)
    except OSError as error:  # on a full disk the lock works without naming its holder
        if error.errno != errno.ENOSPC:
            raise


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_bytes())
        return f" (process {holder['process']}, since {holder['started']}: {holder['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
