"""Memory that a version or a file of the log took for a moment, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc

import pyarrow as pa


def give_back_memory() -> None:
    """Let the system have what is free: the allocators keep it else, Arrow's for the thread that calls this."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)
