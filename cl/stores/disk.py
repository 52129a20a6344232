"""What the operating system says of a disk, in one line: every library has its own way to pass that on."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cl.errors import DiskError, PerennialError
from cl.stores.reach import first_line

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
WORDS = ("No space left on device", "database or disk is full", "File too large", "Disk quota exceeded")


@contextmanager
def disk_told() -> Iterator[None]:
    """Turn what is raised because of a disk into one line; what has another cause passes.

    Raises:
        DiskError: the disk is full, or a file or a SQLite file cannot be read or written.
    """
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        if is_full(error):
            told = f"the disk is full ({first_line(error)}); make room and run again: what was done is kept"
            raise DiskError(told) from error
        if isinstance(error, (OSError, sqlite3.Error)):
            raise DiskError(first_line(error)) from error
        raise


def is_full(error: BaseException | None) -> bool:
    """Tell whether an error, or one behind it, is that of a full disk: safetensors and torch tell it in words alone."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in FULL) or any(word in str(error) for word in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
