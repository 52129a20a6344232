"""A full disk, a busy database, damaged files, a Postgres that ends; and many processes at once."""

from __future__ import annotations

import pytest

from tests.faults import disk_full
from tests.faults.suite import FAULTS, OTHERS


@pytest.mark.parametrize("kind", OTHERS)
def test_after_a_fault_nothing_is_lost_and_the_next_run_ends_as_if_undisturbed(bench, kind) -> None:
    trials = [one.made() for one in FAULTS[kind](bench)]
    wrong = [str(one) for one in trials if one.wrong]
    assert trials and not wrong, "\n".join(wrong)
    if kind == "disk" and not disk_full.may_mount(bench.project.place):
        pytest.skip("this machine mounts no file system for this user: the disk was not filled, only files limited")
