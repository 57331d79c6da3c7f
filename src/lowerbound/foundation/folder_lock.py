"""The lock of a folder: only one process at a time writes into it.

It is a lock of the operating system (flock), which ends with its process, however that ends. The lock file names the
holder and is removed at the end; a file that a killed process left behind locks nothing.
"""

import errno
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from lowerbound.foundation.errors import RunError
from lowerbound.foundation.storage import lock_descriptor, make_folder, remove_remains

LOCK = ".lock"


@contextmanager
def locked_folder(folder: Path, subfolders: Sequence[str] = (), patience: float = 0.0) -> Iterator[None]:
    """Lock a folder, creating it if necessary; RunError if another process still writes into it after `patience`
    seconds.

    Temporary files that killed processes left in it and in its subfolders are removed first. Folders that were created
    here and are empty at the end are removed again.
    """
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    descriptor = _acquired(folder, patience)
    try:
        for path in (folder, *(folder / name for name in subfolders)):
            remove_remains(path)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)
        os.close(descriptor)
        with suppress(OSError):  # not empty
            for path in new:
                path.rmdir()


def _acquired(folder: Path, patience: float) -> int:
    path = folder / LOCK
    deadline = time.monotonic() + patience
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not lock_descriptor(descriptor):
                if time.monotonic() < deadline:
                    os.close(descriptor)
                    time.sleep(0.2)
                    continue
                raise RunError(
                    f"another process is writing into {folder}{_holder(path)}; wait for it to end, stop it, or "
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
