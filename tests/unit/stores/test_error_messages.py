from __future__ import annotations

import errno
import sqlite3

import pytest

from cl.errors import DiskError, InputError
from cl.stores.error_messages import translate_disk_errors


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/x"),
        OSError(errno.EFBIG, "File too large"),
        sqlite3.OperationalError("database or disk is full"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_line_that_says_what_to_do(error) -> None:
    with (
        pytest.raises(DiskError, match=r"the disk is full .* free some space and run again") as told,
        translate_disk_errors(),
    ):
        raise error
    assert "\n" not in str(told.value)


def test_a_full_disk_behind_another_error_is_seen() -> None:
    with pytest.raises(DiskError, match="the disk is full"), translate_disk_errors():
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the writer stopped") from error


def test_another_refusal_of_the_operating_system_names_the_file() -> None:
    with pytest.raises(DiskError, match="Permission denied: '/root/x'"), translate_disk_errors():
        raise PermissionError(errno.EACCES, "Permission denied", "/root/x")


@pytest.mark.parametrize("error", [InputError("a wrong value"), ValueError("a mistake of ours")])
def test_what_has_another_cause_passes(error) -> None:
    with pytest.raises(type(error), match=str(error)), translate_disk_errors():
        raise error
