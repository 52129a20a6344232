"""Manual promotion and approval: `cl promote`, `cl approve`, `cl reject`, `cl rollback`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cl.errors import InputError, PerennialError
from cl.promotion.approval import record_decision
from cl.promotion.by_hand import check_reason, promote_by_hand, rollback, withdraw
from cl.promotion.repair import locked_and_repaired
from cl.records import Alias, LedgerEntry
from cl.registry.smoke_test import repeat_smoke_test
from cl.stores.ledger import state
from cl.stores.opened import OpenProject, open_project

log = logging.getLogger(__name__)
SHARES: dict[Alias, float] = {"canary": 0.1, "shadow": 1.0}


def roll_back(folder: Path, version: str | None, *, why: str) -> LedgerEntry:
    """Move the champion alias back and return the ledger entry.

    Raises:
        InputError: there is no such version, or it never passed its gates.
        BusyError: a cycle is running.
    """
    with _open_locked(folder) as project:
        return rollback(project.stores.registry, project.stores.ledger, version, why=why)


def promote_version(
    folder: Path, version: str, *, alias: Alias, share: float | None, why: str, despite_gates: bool
) -> LedgerEntry:
    """Make a version champion, canary or shadow by hand and return the ledger entry.

    Raises:
        InputError: there is no such version, it already has the alias, it was withdrawn, a reason is missing,
            or the share does not apply.
        RefusedError: it failed its gates; or with ``despite_gates``, it fails the smoke test.
        ConflictError: it was compared with a different champion.
        BusyError: a cycle is running.
    """
    if alias == "champion" and share is not None:
        raise InputError("--share applies to a canary or shadow; a champion gets all requests")
    check_reason(why)
    with _open_locked(folder) as project:
        if despite_gates:
            repeat_smoke_test(project.config, project.stores, version)
        return promote_by_hand(
            project.stores.registry,
            project.stores.ledger,
            version,
            alias=alias,
            share=share or SHARES.get(alias),
            why=why,
            despite_gates=despite_gates,
        )


def withdraw_version(folder: Path, alias: Alias, *, why: str) -> LedgerEntry:
    """Take the alias from the canary or shadow and return the ledger entry.

    Raises:
        InputError: there is none.
        BusyError: a cycle is running.
    """
    with _open_locked(folder) as project:
        return withdraw(project.stores.registry, project.stores.ledger, alias, why=why)


def decide_version(folder: Path, version: str, *, yes: bool, why: str, actor: str | None = None) -> LedgerEntry:
    """Approve or reject the version that awaits approval and return the ledger entry.

    Args:
        folder: the project's folder.
        version: the version.
        yes: whether it may serve.
        why: the reason.
        actor: who decides; None is the current user.

    Raises:
        InputError: it never awaited approval, or a rejection has no reason.
        ConflictError: it no longer awaits approval.
        BusyError: a cycle is running.
    """
    project = open_project(folder)
    entry = record_decision(project.project, version, yes=yes, why=why, actor=actor)
    _end_suspended(project)
    return entry


def _end_suspended(project: OpenProject) -> None:
    """End the Prefect run that waits for this decision; if that fails, the next check by the watcher ends it."""
    if not os.environ.get("PREFECT_API_URL"):
        return
    from flows.approval import end_answered
    from flows.server import translate_server_errors

    try:
        with translate_server_errors():
            end_answered(
                project.config.name, state.pending_approval(project.stores.ledger.entries(project.config.name))
            )
    except PerennialError as error:
        log.warning("the decision is recorded; the run that waits for it could not be ended: %s", error)


@contextmanager
def _open_locked(folder: Path) -> Iterator[OpenProject]:
    project = open_project(folder)
    with locked_and_repaired(project.stores):
        yield project
