"""Runs one command in a forked child with a fault at a chosen point; records its status, output and file changes.

A seam is a point at which the command changes a file: an open for writing, a rename, a removal, a new folder, or an
fsync. Python reports all but the last as audit events, whichever library opens the file, so a fault can be injected at
the k-th seam without changing the product.
"""

import atexit
import errno
import io
import os
import pickle
import random
import resource
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
NEEDS_ROOM = ("open", "os.rename", "os.mkdir", "os.link", "os.symlink", "os.fsync")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
DEFECT = 70  # exit status of a child that met an exception which the command did not turn into a message
GIB = 2**30
READ_SIZE = 2**16
NEEDED = (
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "PIL.PngImagePlugin",
    "sklearn.datasets",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "scipy.special",
    "scipy.stats",
    "scipy.optimize",
    "pyarrow.parquet",
    "pyarrow.csv",
    "torch._dynamo",  # which the first optimiser imports
)
ALSO = ("datasets", "torch.export", "torch.onnx", "onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child."""

    status: int  # minus the signal's number where it was killed
    out: str
    err: str
    seconds: float
    timed_out: bool
    seams: tuple[tuple[str, str], ...] = ()  # event and path, where the child came to its end
    value: Any = None  # what `forked` was to return

    @property
    def is_killed(self) -> bool:
        return self.status in (-signal.SIGKILL, -signal.SIGXFSZ) and not self.timed_out

    @property
    def error_lines(self) -> list[str]:
        """Output lines that report an error."""
        return [line for line in self.err.splitlines() if line.startswith("lowerbound: ")]

    @property
    def complaint(self) -> str:
        """What is wrong with a refusal, which should be status 1 or 2 with one line; empty for a proper one."""
        if self.timed_out:
            return "it did not end"
        if "Traceback" in self.err or self.status == DEFECT:
            return "TRACEBACK: " + (self.err.strip().splitlines() or [""])[-1][:200]
        if self.status < 0:
            return f"ended by signal {-self.status}"
        if self.status not in (1, 2):
            return f"exit status {self.status}"
        if len(self.error_lines) != 1:
            return f"{len(self.error_lines)} lines of error: {self.err[-300:]!r}"
        return ""


@dataclass(frozen=True)
class Fault:
    """A fault at seam number `at`, counted from 0; its kind is a key of ACTIONS."""

    kind: str
    at: int
    size: int = 0  # bytes of a file that can be written, for the kinds "cut" and "limit"


def forked(
    action: Callable[[], Any], *, cwd: Path, timeout: float = 120.0, memory: int = 0, kill_after: float = 0.0
) -> Outcome:
    """The outcome of `action` in a child, in the folder `cwd`.

    `memory` bounds what it may take beyond this process's own, in bytes; with `kill_after` it is killed after so many
    seconds.
    """
    pipes = [os.pipe() for _ in range(3)]
    sys.stdout.flush()
    sys.stderr.flush()
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _live(action, cwd, [write for _, write in pipes], memory)
    for _, write in pipes:
        os.close(write)
    deadline = start + (kill_after or timeout)
    texts, is_late = _drain([read for read, _ in pipes], deadline, pid)
    _, raw = os.waitpid(pid, 0)
    out, err, report = texts
    seams, value = pickle.loads(report) if report else ((), None)
    return Outcome(
        status=os.waitstatus_to_exitcode(raw),
        out=out.decode(errors="replace"),
        err=err.decode(errors="replace"),
        seconds=time.perf_counter() - start,
        timed_out=is_late and not kill_after,
        seams=seams,
        value=value,
    )


def command(
    words: Sequence[object],
    *,
    cwd: Path,
    fault: Fault | None = None,
    timeout: float = 120.0,
    memory: int = 0,
    kill_after: float = 0.0,
    prepare: Callable[[], None] = lambda: None,
) -> Outcome:
    """Run a command line in a child, with at most one fault among files below `cwd`; `prepare` is called first."""

    def action() -> int:
        from lowerbound.cli import main

        prepare()
        SEAMS.watch(str(cwd.resolve()), fault)
        sys.argv = ["lowerbound", *map(str, words)]
        main()
        return 0

    return forked(action, cwd=cwd, timeout=timeout, memory=memory, kill_after=kill_after)


def start_command(words: Sequence[object], cwd: Path, out: Path, err: Path) -> int:
    """Start a command in a child that runs in parallel until it is killed."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid

    def action() -> None:
        from lowerbound.cli import main

        sys.argv = ["lowerbound", *map(str, words)]
        main()

    _live(
        action,
        cwd,
        [os.open(path, os.O_WRONLY | os.O_CREAT, 0o600) for path in (out, err)] + [os.open(os.devnull, os.O_WRONLY)],
        0,
    )
    raise AssertionError("a child does not return")


class Seams:
    """The seams that a child has passed, and the fault at one of them."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, str]] = []
        self.root = ""
        self.fault: Fault | None = None
        self.is_acting = False

    def watch(self, root: str, fault: Fault | None) -> None:
        """Watch changes below `root`; irreversible, so only for a child."""
        self.root, self.fault = root, fault
        true_fsync = os.fsync

        def fsync(descriptor: int) -> None:
            self.hear("os.fsync", (descriptor,))
            true_fsync(descriptor)

        os.fsync = fsync  # type: ignore[assignment]
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle an audit event."""
        if self.is_acting or (event != "open" and event not in CHANGES and event != "os.fsync"):
            return
        if event == "open" and not _is_writing(arguments):
            return
        path = self._path(arguments[1 if event == "os.rename" else 0])
        if not path.startswith(self.root):
            return
        self.passed.append((event, path[len(self.root) + 1 :]))
        if self.fault is not None and len(self.passed) > self.fault.at:
            self.is_acting = True
            try:
                ACTIONS[self.fault.kind](self, self.fault, event, path)
            finally:
                self.is_acting = False

    def _path(self, file: Any) -> str:
        """The absolute path of a system call's argument, a name or an open descriptor."""
        if isinstance(file, int):
            name = Path(f"/proc/self/fd/{file}")
            return str(name.readlink()) if name.is_symlink() else self.root
        # Not resolve(), which would ask the file system about each part of the path.
        return os.path.abspath(os.fsdecode(file))  # noqa: PTH100


SEAMS = Seams()


def _kill(seams: Seams, fault: Fault, event: str, path: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _cut(seams: Seams, fault: Fault, event: str, path: str) -> None:
    """The kernel kills the process during the write that exceeds the limit, with part of it on disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    _limit(seams, fault, event, path)


def _limit(seams: Seams, fault: Fault, event: str, path: str) -> None:
    """Writes beyond the limit fail with EFBIG, in any library."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (fault.size, resource.RLIM_INFINITY))
    seams.fault = None


def _full(seams: Seams, fault: Fault, event: str, path: str) -> None:
    """From this seam on, nothing new can be written; existing files can be read and removed."""
    if event in NEEDS_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def _full_once(seams: Seams, fault: Fault, event: str, path: str) -> None:
    """The disk is full at this seam only."""
    if event in NEEDS_ROOM:
        seams.fault = None
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


ACTIONS: dict[str, Callable[[Seams, Fault, str, str], None]] = {
    "kill": _kill,
    "cut": _cut,
    "limit": _limit,
    "full": _full,
    "full-once": _full_once,
}


def _is_writing(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    if isinstance(path, int):
        return False
    return any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool(flags & WRITING)


def _live(action: Callable[[], Any], cwd: Path, writes: list[int], memory: int) -> None:
    """Everything that the child does."""
    status, value = 0, None
    try:
        os.setpgid(0, 0)
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(writes[0], 1)
        os.dup2(writes[1], 2)
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", line_buffering=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", line_buffering=True)
        # What the parent's own generator would give to every child alike.
        random.seed(os.urandom(8))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (_address_space() + memory, resource.RLIM_INFINITY))
        value = action()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        status = DEFECT
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        SEAMS.is_acting = True
        with os.fdopen(writes[2], "wb") as file:
            pickle.dump((tuple(SEAMS.passed), value), file)
    finally:
        os._exit(status)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _drain(reads: list[int], deadline: float, pid: int) -> tuple[list[bytes], bool]:
    """The output of each pipe until all are closed; the child and its children are killed at the deadline."""
    parts: dict[int, list[bytes]] = {read: [] for read in reads}
    is_late = False
    with selectors.DefaultSelector() as selector:
        for read in reads:
            selector.register(read, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.perf_counter()
            if left <= 0 and not is_late:
                is_late = True
                _kill_all(pid)
            for key, _ in selector.select(max(left, 0) if not is_late else 1.0):
                data = os.read(key.fd, READ_SIZE)
                if data:
                    parts[key.fd].append(data)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(parts[read]) for read in reads], is_late


def _kill_all(pid: int) -> None:
    """Kill a child's process group, or the child alone before it has one."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        os.kill(pid, signal.SIGKILL)


def warm_up(more: Sequence[str] = ALSO) -> None:
    """Import the modules of all commands, so that children need not; `more` are needed only by some."""
    import gc
    import importlib
    import pkgutil

    import torch

    import lowerbound

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(lowerbound.__path__, "lowerbound."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in (*NEEDED, *more):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    # Else the first collection in each child would copy all of it.
    gc.collect()
    gc.freeze()


def leave_figures_out() -> None:
    """Replace the reports of runs by a line of text: figures take most of the time of a small training."""
    from lowerbound.evaluation.results import Results
    from lowerbound.foundation.storage import write_text
    from lowerbound.runs import reevaluation, run

    def write_report(results: Results, run: Path, *messages: object) -> Path:
        write_text(run / "report.html", f"<html>{len(results.scores)} scores</html>\n")
        return run / "report.html"

    for module in (run, reevaluation):
        module.write_report = write_report  # type: ignore[attr-defined]
