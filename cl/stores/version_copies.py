"""This machine's copies of versions: one that nothing needs makes room as soon as another one comes."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence, Set
from pathlib import Path

from cl.records import LedgerEntry
from cl.stores.hard_links import is_linked, share_equal_files
from cl.stores.ledger import state
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history

TRASH_PREFIX = ".gone-"
"""Prefix of a folder that is being removed: a half-removed folder must not be mistaken for a complete one."""
IN_USE_SECONDS = 3600.0
"""A copy that was asked for within this time may still be being read by another process, which loads it."""


def mark_used(folder: Path) -> None:
    """Record that a copy was asked for now; somebody who may only read leaves no mark."""
    with contextlib.suppress(OSError):
        os.utime(folder)


def share_with_copies(fresh: Path, copies: Path, scratch: Path) -> int:
    """Let a version that was just downloaded share large files with this machine's copies; return the bytes saved."""
    others = sorted(path for path in copies.iterdir() if path.name.isdigit())
    return share_equal_files(fresh, others, scratch, which=is_linked)


def remove_unneeded_copies(project: ProjectFolder, entries: Sequence[LedgerEntry], kept: str) -> list[str]:
    """Remove the copies that no alias, rollback or update needs, and return their versions.

    A copy that was asked for within the last hour stays, and while another process changes the project, all stay.

    Args:
        project: whose copies they are; the registry still has the versions.
        entries: of the ledger, which say what serves.
        kept: a version to keep.
    """
    folder = project.work / "versions"
    copies = {path.name: path for path in folder.iterdir() if path.name.isdigit()}
    unneeded = sorted(copies.keys() - _needed(folder, entries) - {kept}, key=int)
    if not unneeded or project.may_be_locked_by_another():
        return []
    removed = []
    for version in unneeded:
        with contextlib.suppress(OSError):  # another process removes it, too
            if time.time() - copies[version].stat().st_mtime > IN_USE_SECONDS:
                shutil.rmtree(copies[version].rename(folder / f"{TRASH_PREFIX}{version}-{os.getpid()}"))
                removed.append(version)
    return removed


def _needed(folder: Path, entries: Sequence[LedgerEntry]) -> Set[str]:
    """Return the versions with an alias, the one that a rollback restores, and those that they were derived from."""
    serving = {move.to_version for move in state.holders(entries).values()} | {state.previous_champion(entries)}
    queue, needed = [version for version in serving if version is not None], set[str]()
    while queue:
        version = queue.pop()
        if version not in needed and (folder / version / "history.json").is_file():
            history = load_history(folder / version)
            queue += [history.parent] if history.form and history.parent else []
        needed.add(version)
    return needed
