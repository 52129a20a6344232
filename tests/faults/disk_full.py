"""The disk is full: a small file system in memory, or a limit on the size of files where mounting is not allowed."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.deeds import LimitFiles
from tests.faults.prepared import Prepared
from tests.faults.trial import Attempt
from tests.support.warm import Ended

FULL = "disk full (a small tmpfs)"
LIMITED = "a file cannot grow (RLIMIT_FSIZE)"
WIDE = 64 * 2**20
PAGE = 4096


def may_mount(folder: Path) -> bool:
    """Tell whether this machine lets this user mount a file system."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _mounted(folder):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def with_room(prepared: Prepared, room: int) -> Attempt:
    """Let a run have only so many bytes left; then there is space again."""

    def inject() -> list[str]:
        _resize(prepared.place, _used(prepared.place) + room)
        return told_plainly(prepared.run())

    return Attempt(
        prepared,
        FULL,
        f"{room // 1024} KiB left",
        inject,
        mend=lambda: _resize(prepared.place, WIDE),
        around=lambda: _mounted(prepared.place),
    )


def with_limit(prepared: Prepared, size: int) -> Attempt:
    """Let no file of a run grow beyond some bytes."""

    def inject() -> list[str]:
        return told_plainly(prepared.run(before=LimitFiles(size)))

    return Attempt(prepared, LIMITED, f"at {size // 1024} KiB", inject)


def told_plainly(ended: Ended) -> list[str]:
    """Return what was wrong about how a run failed that had to fail: one line, exit code 1."""
    wrong = [] if ended.code == 1 else [f"ended with {ended.code}, not 1"]
    return wrong if ended.is_one_line else [*wrong, f"said more than one line: {ended.err[-600:]}"]


@contextlib.contextmanager
def _mounted(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={WIDE}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def _resize(folder: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize // PAGE * PAGE
