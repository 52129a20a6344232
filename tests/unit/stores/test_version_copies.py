"""A machine keeps the versions that serve, that a rollback restores, and that these were derived from."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cl.records.history import History
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_copies import IN_USE_SECONDS, mark_used, remove_unneeded_copies
from cl.stores.version_folder import save_history
from tests.support.tiny import serve


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    """Copies of four versions that nobody has asked for lately; version 4 is a student of version 1."""
    project = ProjectFolder(tmp_path)
    for version in "1234":
        folder = project.work / "versions" / version
        folder.mkdir(parents=True)
        save_history(History(form="student", parent="1") if version == "4" else History(), folder)
        long_ago(folder)
    return project


def long_ago(folder: Path) -> None:
    then = time.time() - IN_USE_SECONDS - 60
    os.utime(folder, (then, then))


def copies(project: ProjectFolder) -> list[str]:
    return sorted(path.name for path in (project.work / "versions").iterdir())


def test_a_copy_that_nothing_needs_goes_when_another_comes(project, registry, ledger) -> None:
    serve(registry, ledger, "1", "2", "4")
    removed = remove_unneeded_copies(project, ledger.entries(registry.model), "4")
    assert removed == ["3"]
    assert copies(project) == ["1", "2", "4"], "the student's teacher, the target of a rollback, and the champion"


def test_the_teacher_of_a_student_that_no_longer_serves_goes(project, registry, ledger) -> None:
    serve(registry, ledger, "4", "1", "2")
    assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == ["3", "4"]


def test_a_copy_that_was_just_asked_for_stays(project, registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    mark_used(project.work / "versions" / "3")
    assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == ["4"]
    assert copies(project) == ["1", "2", "3"]


def test_nothing_goes_while_another_process_may_change_the_project(project, registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        (project.work / "lock.pid").write_text(str(other.pid))
        assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == []
        assert other.stdin is not None
        other.stdin.close()
        other.wait()
    assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == ["3", "4"]


def test_the_process_that_holds_the_lock_removes_them(project, registry, ledger) -> None:
    serve(registry, ledger, "1", "2")
    with project.lock():
        assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == ["3", "4"]


def test_before_anything_serves_the_new_copy_stays(project, registry, ledger) -> None:
    assert remove_unneeded_copies(project, ledger.entries(registry.model), "2") == ["1", "3", "4"]
    assert copies(project) == ["2"]
