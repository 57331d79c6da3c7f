"""Atomic file writes, of files and of folders; format versions.

Everything is written to a temporary file in the target's folder, flushed to disk and renamed over the target. A reader
therefore sees either the old file or the new one, and a loader that maps the old file keeps a valid mapping.
"""

import atexit
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock

from lowerbound.foundation.errors import RunError, UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT_VERSION = 3
"""Version of config.toml, results.json and checkpoints; raised when an older reader would misread them."""

PART = ".lowerbound.part"
"""Suffix of temporary files."""

UMASK = Lock()
"""The umask can be read only by changing it, which one thread at a time may do."""

NAME_OF_PART = 40  # characters of the target's name in that of its temporary file, which may not become too long


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a temporary path, then move what it wrote to `path`."""
    make_folder(path.parent)
    remove_remains(path.parent)
    descriptor, temporary = _locked_temporary(path)
    try:
        with _naming(path, temporary):
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            _sync(temporary)
            temporary.replace(path)
        _sync(path.parent)
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _locked_temporary(path: Path) -> tuple[int, Path]:
    """A temporary file next to `path`, locked, so that nobody removes it as the remains of a killed process."""
    while True:
        with _naming(path):
            descriptor, name = tempfile.mkstemp(prefix=_hidden(path), suffix=PART, dir=path.parent)
        try:
            if lock_descriptor(descriptor) and os.path.samestat(os.fstat(descriptor), Path(name).stat()):
                return descriptor, Path(name)
        except FileNotFoundError:
            pass  # removed between its creation and the lock
        os.close(descriptor)


@contextmanager
def _naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Errors about the temporary file name the target instead, which is the file that the user knows."""
    try:
        yield
    except OSError as error:
        is_of_another = temporary and error.filename not in (None, str(temporary))
        if error.errno is None or is_of_another:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def remove_remains(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder; files in use stay."""
    for path in list(folder.glob(f".*{PART}")):
        with suppress(OSError):  # another process removed it, or this one lacks the permission
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if lock_descriptor(descriptor):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(descriptor)


def lock_descriptor(descriptor: int) -> bool:
    """Lock an open file until it is closed or the process ends; false if another process holds the lock.

    True where the operating system or file system has no such locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
    return True


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder atomically."""
    with folder_atomically(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


@contextmanager
def folder_atomically(target: Path) -> Iterator[Path]:
    """A temporary folder to fill, which becomes `target` if no error is raised.

    If `target` exists, its files are replaced one by one; files with other names stay.
    """
    check_is_no_dangling_link(target)
    make_folder(target.parent)
    remove_remains(target.parent)
    with (
        tempfile.TemporaryDirectory(prefix=_hidden(target), suffix=PART, dir=target.parent) as temporary,
        _locked(Path(temporary)),
    ):
        made = Path(temporary) / "made"
        made.mkdir()
        yield made
        for path in made.rglob("*"):
            _sync(path)
        _move_folder(made, target)
        _sync(target.parent)


@contextmanager
def scratch_folder(near: Path) -> Iterator[Path]:
    """A temporary folder next to `near`, for files that are too large for the system's; removed at the end."""
    make_folder(near.parent)
    remove_remains(near.parent)
    with (
        tempfile.TemporaryDirectory(prefix=_hidden(near), suffix=PART, dir=near.parent) as temporary,
        _locked(Path(temporary)),
    ):
        yield Path(temporary)


def cache_folder() -> Path:
    """The user's folder for what can be downloaded or computed again; it need not exist."""
    import pooch  # here: it takes 45 ms

    return Path(pooch.os_cache("lowerbound"))


def temporary_folder() -> Path:
    """A new, empty folder that is removed when the program ends."""
    path = Path(tempfile.mkdtemp(prefix="lowerbound-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def make_folder(path: Path) -> None:
    """Make a folder and its parents; UsageError if a file or a broken link has that name."""
    check_is_no_dangling_link(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"{path} is a file; choose a folder, or a name that is not taken.") from error


def check_is_no_dangling_link(path: Path) -> None:
    """UsageError for a link whose target is missing: the path neither exists nor can be created."""
    if path.is_symlink() and not path.exists():
        raise UsageError(f"{path} is a link to {path.readlink()}, which does not exist; create it, or remove the link.")


def check_own_folder(folder: Path, is_own: Callable[[str], bool], maker: str) -> None:
    """UsageError if a folder cannot be written to, or contains files that are not from an earlier `maker`."""
    check_is_no_dangling_link(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; choose a folder.", hint="out")
    others = sorted(path.name for path in folder.iterdir() if not is_own(path.name)) if folder.exists() else []
    if others:
        raise UsageError(
            f"{folder} contains files that are not from an earlier {maker} ({others[0]}); choose another folder.",
            hint="out",
        )


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, atomically."""
    write_atomically(path, lambda temporary: _write(temporary, content))


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, atomically; bytes of file names that are not UTF-8 are escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def check_format_version(path: Path, version: object) -> None:
    """RunError for a file of another format version, which would be misread."""
    if not isinstance(version, int) or version < 1:
        raise RunError(f"{path} has no format version; it was not written by lowerbound.")
    if version < FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {version}, but this lowerbound reads {FORMAT_VERSION}; train the run again, or "
            "use the version of lowerbound that wrote it."
        )
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path} has format version {version}, but this lowerbound reads up to {FORMAT_VERSION}; "
            "install a newer lowerbound."
        )


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move_folder(made: Path, target: Path) -> None:
    with suppress(OSError):  # it is absent, a link, not empty, or the working directory
        target.rmdir() if target.resolve() != Path.cwd() else None
    if not target.exists():
        made.rename(target)
        return
    for entry in sorted(made.iterdir()):
        entry.replace(target / entry.name)


def _hidden(path: Path) -> str:
    return f".{path.name[:NAME_OF_PART]}."


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # Not every system can open a folder.
    descriptor = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        if descriptor is not None:
            lock_descriptor(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _umask() -> int:
    # mkstemp creates private files; the files of a run follow the user's umask, like any other output.
    with UMASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Flush a file, or a rename within a folder, to disk. Not every system can open a folder."""
    with suppress(OSError) if path.is_dir() else nullcontext():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
