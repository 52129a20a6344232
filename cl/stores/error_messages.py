"""Translate disk errors and the errors of libraries into one-line messages."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from cl.errors import DiskError, PerennialError, StoreError
from cl.extras import describe_missing
from cl.redaction import format_traceback, without_password

log = logging.getLogger(__name__)

DISK_FULL_CODES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DISK_FULL_MESSAGES = ("No space left on device", "database or disk is full", "File too large", "Disk quota exceeded")


@contextmanager
def translate_disk_errors() -> Iterator[None]:
    """Turn errors caused by the disk into a one-line DiskError; all others pass through.

    Raises:
        DiskError: the disk is full, or a file or SQLite database cannot be read or written.
    """
    try:
        yield
    except PerennialError:
        raise
    except Exception as error:
        if is_full(error):
            message = f"the disk is full ({first_line(error)}); free some space and run again: finished work is kept"
            raise DiskError(message) from error
        if isinstance(error, (OSError, sqlite3.Error)):
            raise DiskError(first_line(error)) from error
        raise


def is_full(error: BaseException | None) -> bool:
    """Return whether an error or its cause is a full disk; safetensors and torch only say so in the message."""
    while error is not None:
        if (isinstance(error, OSError) and error.errno in DISK_FULL_CODES) or any(
            word in str(error) for word in DISK_FULL_MESSAGES
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def translate_store_errors(store: str) -> Iterator[None]:
    """Turn whatever a library raises into a one-line StoreError that names the store.

    The new error has no cause: the text of the original may hold a password, which a traceback would show.
    """
    store = without_password(store)
    try:
        yield
    except PerennialError:
        raise
    except ModuleNotFoundError as error:
        raise StoreError(f"{store}: {describe_missing(error)}") from None
    except Exception as error:
        log.info("%s: %s", store, format_traceback(error))
        raise StoreError(f"{store}: {_describe_refusal(error) or first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, without passwords."""
    lines = without_password(str(getattr(error, "orig", None) or error)).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _describe_refusal(error: Exception) -> str | None:
    """Return what to do when MLflow's server rejects the user's name and password; None for other errors."""
    code = getattr(error, "error_code", None)
    if code == "UNAUTHENTICATED":
        return _describe_user() + "; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
    return _describe_user() + "; ask its administrator for the permission" if code == "PERMISSION_DENIED" else None


def _describe_user() -> str:
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    return f"refuses user '{user}'" if user else "asks for a user and a password"
