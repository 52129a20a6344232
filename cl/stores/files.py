"""Atomic file operations: a file or folder appears whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

DRAFTS = ".*.draft"
"""The names of files that `write_text` has not finished."""
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What writing fails with where somebody may only read."""


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: readers see the old text or the new one.

    A process that is killed meanwhile leaves a draft; `remove_drafts` removes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes have left half-written below a folder that nobody else writes to."""
    for draft in folder.rglob(DRAFTS):
        draft.unlink(missing_ok=True)


def read_or_write_text(folder: Path | None, name: str, make: Callable[[], str]) -> str:
    """Return a text that never changes: made once and cached in a folder, or made every time without a folder.

    Somebody who may not write to the folder makes it every time.
    """
    if folder is None:
        return make()
    if (folder / name).exists():
        return (folder / name).read_text(encoding="utf-8")
    text = make()
    try:
        write_text(folder / name, text)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
    return text


def move_into_place(draft: Path, final: Path) -> None:
    """Move a finished folder to its final name with one rename; a folder already there is replaced."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)


def sha256(path: Path) -> str:
    """Return the hex SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
