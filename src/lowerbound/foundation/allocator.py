"""Memory that glibc keeps from one batch to the next.

By default glibc gives large blocks back to the system as soon as they are freed, so that the activations of each batch
are mapped, zeroed and faulted in anew. Two settings keep them; at the end what lies idle is given back.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
NEVER_TRIM = -1
LARGEST_KEPT = 1 << 30  # bytes


def memory_of_machine() -> int:
    """Bytes of physical memory; of a system that does not say, more than any machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**62


@contextmanager
def kept_memory(in_threads: bool = False) -> Iterator[None]:
    """Within this, memory that is freed stays with the process; without glibc nothing happens.

    With `in_threads` that holds for threads that begin within this as well: they take their memory where all others do,
    since an arena of their own would be trimmed. The settings themselves stay for the rest of the process: glibc has no
    way to ask what they were.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        library.mallopt(M_TRIM_THRESHOLD, NEVER_TRIM)
        if in_threads:
            library.mallopt(M_ARENA_MAX, 1)
    try:
        yield
    finally:
        if library is not None:
            library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    # Whoever has chosen an allocator, or settings of glibc's own, has reasons.
    is_chosen = "LD_PRELOAD" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    if is_chosen or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
