"""Return memory that a server no longer needs to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc

import pyarrow as pa


def release_memory() -> None:
    """Return free memory to the system, which the allocators would keep; Arrow's only for the calling thread."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
