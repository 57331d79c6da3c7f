"""Several processes that train one model: the ranks that torchrun starts, and what they tell each other.

`join` reads torchrun's environment. In a single process everything here is the identity, and torch.distributed is not
imported. Ranks exchange tensors and UTF-8 text, never pickles. There are two groups of connections: tensors travel with
torch's usual timeout, and `together` waits as long as another rank works. A rank that ends breaks the connections of
the others, which raise RankLost at once.
"""

import atexit
import ctypes
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from lowerbound.foundation.errors import LowerboundError, OtherRankFailed, RankLost, UsageError, in_one_line
from lowerbound.foundation.rendezvous import fresh_store
from lowerbound.foundation.shares import WHOLE, Share

if TYPE_CHECKING:
    from torch import Tensor

CONNECTING = timedelta(minutes=10)
COMPUTING = timedelta(minutes=30)
WORKING = timedelta(days=30)  # such as the evaluation of a large model on one rank
HEARING = timedelta(seconds=3)  # for another rank's error before one's own is printed
PR_SET_PDEATHSIG = 1  # of Linux's prctl


@dataclass(frozen=True, eq=False)
class _Group:
    share: Share
    backend: str
    patient: Any  # process group of `together`
    store: Any  # of this start of the ranks
    launch_store: Any  # outlives restarts of the ranks


_joined: list[_Group] = []  # at most one


def is_launched() -> bool:
    """Whether this process is one of several ranks, which torchrun or the like has started."""
    return "RANK" in os.environ and _number("WORLD_SIZE", 1) > 1


def launched_rank() -> int:
    """This process's rank, before it has joined the others."""
    return _number("RANK", 0) if is_launched() else 0


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isdecimal():
        raise UsageError(f"the environment variable {variable} is {text!r}; it needs a number, as torchrun sets it.")
    return int(text)


def join() -> Share:
    """Join the ranks that were launched with this process, if any; the share of every batch that is this rank's."""
    if is_launched() and not _joined:
        _end_with_the_launcher()
        _joined.append(_connect())
        atexit.register(leave)
    return share()


def share() -> Share:
    """This rank's share of every batch; all of it before `join`."""
    return _joined[0].share if _joined else WHOLE


def is_writer() -> bool:
    """Whether this rank writes files and prints: only the first does."""
    return share().rank == 0


def backend() -> str:
    """Name of the library that carries tensors: gloo, with nccl for those on GPUs."""
    return _joined[0].backend if _joined else ""


def local_rank() -> int:
    """This rank's number on its machine."""
    return _number("LOCAL_RANK", 0) if _joined else 0


def _end_with_the_launcher() -> None:
    """Have the kernel end this process when torchrun ends, even if that is killed."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _connect() -> _Group:
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    has_gpu = torch.cuda.is_available() and distributed.is_nccl_available()
    name = "cpu:gloo,cuda:nccl" if has_gpu else "gloo"
    try:
        store, rank, num_ranks = next(iter(rendezvous("env://", timeout=CONNECTING)))
        launch_store, store = store, fresh_store(store, rank, num_ranks, CONNECTING)
        distributed.init_process_group(name, store=store, rank=rank, world_size=num_ranks, timeout=COMPUTING)
        patient = distributed.new_group(backend="gloo", timeout=WORKING)
    except (RuntimeError, ValueError, OSError) as error:
        raise LowerboundError(f"this rank cannot reach the others ({in_one_line(error)}).") from error
    return _Group(Share(rank, num_ranks), "gloo and nccl" if has_gpu else "gloo", patient, store, launch_store)


def leave() -> None:
    """Leave the group at the end of the program."""
    if _joined:
        from torch import distributed

        _joined.clear()
        with suppress(RuntimeError, ValueError):
            distributed.destroy_process_group()


@contextmanager
def _connected() -> Iterator[None]:
    """RankLost for a lost connection."""
    try:
        yield
    except RuntimeError as error:  # of gloo a plain one, of nccl a subclass
        raise RankLost(f"another rank has ended or cannot be reached ({_reason(error)}).", hint="ranks") from error


def _reason(error: RuntimeError) -> str:
    """What the library says, without its source file and its advice."""
    text = " ".join(str(error).split()).rpartition(".cc:")[2].partition("] ")[2] or str(error)
    return text.partition(". This ")[0].rstrip(". ")


def add_up(tensor: "Tensor") -> "Tensor":
    """The tensor summed over all ranks, in place; the same bits on every rank."""
    if _joined:
        from torch import distributed

        with _connected():
            distributed.all_reduce(tensor)
    return tensor


def gathered(rows: "Tensor") -> "Tensor":
    """The rows of all ranks, in the order of ranks; each may have another number of them."""
    if not _joined:
        return rows
    return _gathered(rows, None)


def _gathered(rows: "Tensor", group: Any) -> "Tensor":
    import torch
    from torch import distributed

    counts = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(share().num_ranks)]
    with _connected():
        distributed.all_gather(counts, torch.tensor([len(rows)], device=rows.device), group=group)
        longest = int(max(count.item() for count in counts))
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        distributed.all_gather(parts, padded, group=group)
    return torch.cat([part[: int(count.item())] for part, count in zip(parts, counts, strict=True)])


def texts(text: str) -> list[str]:
    """The text of every rank; waits as long as another rank works."""
    if not _joined:
        return [text]
    import torch

    line = torch.frombuffer(bytearray(text.replace("\0", " ").encode() + b"\0"), dtype=torch.uint8)
    content = bytes(_gathered(line, _joined[0].patient).tolist()).decode(errors="replace")
    return content.split("\0")[:-1]


@contextmanager
def together() -> Iterator[None]:
    """All ranks reach the end of this context or none does: an error on one raises OtherRankFailed on the others."""
    if not _joined:
        yield
        return
    failure: Exception | None = None
    try:
        yield
    except RankLost:
        raise
    except Exception as error:
        failure = error
    reports = texts("" if failure is None else in_one_line(failure))
    if failure is not None:
        raise failure
    for rank, report in enumerate(reports):
        if report:
            raise OtherRankFailed(f"rank {rank}: {report}")


def is_first_started(name: str) -> bool:
    """Whether nothing was begun under this name since torchrun was started; false after it has restarted the ranks."""
    if not _joined:
        return True
    with _connected():
        return not _joined[0].launch_store.check([f"lowerbound/begun/{name}"])


def note_start(name: str) -> None:
    """Remember, as long as torchrun runs, that something was begun under this name."""
    if _joined and is_writer():
        with _connected():
            _joined[0].launch_store.set(f"lowerbound/begun/{name}", "")


def has_to_report(error: BaseException) -> bool:
    """Whether this rank has to print its error: no other rank has printed the same one, or the cause of it."""
    if isinstance(error, OtherRankFailed):
        return False
    if not _joined:
        return True
    store = _joined[0].store
    try:
        if isinstance(error, RankLost):
            return bool(store.add("errors", 1) == 1)
        store.add("errors", 1)
        key = f"error/{hashlib.sha256(str(error).encode()).hexdigest()}"
        if is_writer():
            store.set(key, "printed")
            return True
        return not _is_set(store, key) and bool(store.add(f"{key}/others", 1) == 1)
    except RuntimeError:  # the store ended with torchrun
        return True


def _is_set(store: Any, key: str) -> bool:
    try:
        store.wait([key], HEARING)
    except RuntimeError:
        return False
    return True


def with_rank(line: str) -> str:
    """A line of a message, with the rank if that is not the first."""
    return line if is_writer() else f"rank {share().rank}: {line}"
