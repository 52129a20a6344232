"""What the operating system says of a disk, in one line: every library has its own way to pass that on."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cl.errors import DiskError, PerennialError, StoreError
from cl.redaction import format_traceback, without_password

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
WORDS = ("No space left on device", "database or disk is full", "File too large", "Disk quota exceeded")


@contextmanager
def translate_disk_errors() -> Iterator[None]:
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


@contextmanager
def translate_store_errors(store: str) -> Iterator[None]:
    """Turn whatever a foreign library raises into one line that names the store.

    The line is not raised from what was caught, whose text may hold a password that a traceback would then show.
    """
    store = without_password(store)
    try:
        yield
    except PerennialError:
        raise
    except ModuleNotFoundError as error:
        raise StoreError(f"{store}: needs the package '{error.name or error}', not installed here") from None
    except Exception as error:
        log.info("%s: %s", store, format_traceback(error))
        raise StoreError(f"{store}: {_refused(error) or first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """Return what an exception says, as one line that can be shown."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return without_password(lines[0][:300]) if lines else type(error).__name__


def _refused(error: Exception) -> str | None:
    """Return what to do where MLflow's server did not take the user's name and password; None for other errors."""
    code = getattr(error, "error_code", None)
    if code == "UNAUTHENTICATED":
        return _who() + "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
    return _who() + "; ask its administrator for the permission" if code == "PERMISSION_DENIED" else None


def _who() -> str:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return f"refuses user '{user}'" if user else "asks for a user and a password"
