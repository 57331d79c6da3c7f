"""Settings of glibc's allocator that keep freed memory from one batch to the next.

By default glibc returns large blocks to the system as soon as they are freed, so the activations of every batch are
mapped, zeroed and faulted in again. Two settings keep them; at the end, unused memory is returned.
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
    """Bytes of physical memory; if the system does not report it, a number larger than any machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**62


@contextmanager
def kept_memory(in_threads: bool = False) -> Iterator[None]:
    """Within this context the process keeps freed memory; no effect without glibc.

    With `in_threads`, threads started in the context do so, too: they share one arena, because their own would be
    trimmed. The settings themselves stay until the process ends, because glibc cannot report their former values.
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
    # Respect an allocator, or settings of glibc, chosen by the user.
    is_chosen = "LD_PRELOAD" in os.environ or any(name.startswith("MALLOC_") for name in os.environ)
    if is_chosen or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)
