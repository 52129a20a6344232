"""Commands that move the champion, or let a person decide: `cl promote`, `cl approve`, `cl reject`, `cl rollback`."""

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
    """Move the champion alias back and return the ledger's entry.

    Raises:
        InputError: there is no such version, or it never passed its gates.
        BusyError: a cycle is running.
    """
    with _opened(folder) as at:
        return rollback(at.stores.registry, at.stores.ledger, version, why=why)


def promote_version(
    folder: Path, version: str, *, alias: Alias, share: float | None, why: str, despite_gates: bool
) -> LedgerEntry:
    """Make a version champion, canary or shadow by hand and return the ledger's entry.

    Raises:
        InputError: there is no such version, it is that already, it was withdrawn, a reason is missing,
            or the share is of no use.
        RefusedError: it failed its gates; or despite them, it does not load and answer.
        ConflictError: it was compared with another champion.
        BusyError: a cycle is running.
    """
    if alias == "champion" and share is not None:
        raise InputError("--share is for a canary or a shadow; a champion gets all requests")
    check_reason(why)
    with _opened(folder) as at:
        if despite_gates:
            repeat_smoke_test(at.config, at.stores, version)
        return promote_by_hand(
            at.stores.registry,
            at.stores.ledger,
            version,
            alias=alias,
            share=share or SHARES.get(alias),
            why=why,
            despite_gates=despite_gates,
        )


def withdraw_version(folder: Path, alias: Alias, *, why: str) -> LedgerEntry:
    """Let the canary or shadow be neither any more and return the ledger's entry.

    Raises:
        InputError: there is none.
        BusyError: a cycle is running.
    """
    with _opened(folder) as at:
        return withdraw(at.stores.registry, at.stores.ledger, alias, why=why)


def decide_version(folder: Path, version: str, *, yes: bool, why: str) -> LedgerEntry:
    """Approve or reject the version that waits and return the ledger's entry.

    Raises:
        InputError: it has never waited, or a rejection has no reason.
        ConflictError: it does not wait any more.
        BusyError: a cycle is running.
    """
    at = open_project(folder)
    entry = record_decision(at.project, version, yes=yes, why=why)
    _end_suspended(at)
    return entry


def _end_suspended(at: OpenProject) -> None:
    """End the run that waits on a Prefect server for the same answer; one that is not reached is ended by a look."""
    if not os.environ.get("PREFECT_API_URL"):
        return
    from flows.approval import end_answered
    from flows.server import asked_in_a_line

    try:
        with asked_in_a_line():
            end_answered(at.config.name, state.pending_approval(at.stores.ledger.entries(at.config.name)))
    except PerennialError as error:
        log.warning("the answer stands; the run that waited for it was not ended: %s", error)


@contextmanager
def _opened(folder: Path) -> Iterator[OpenProject]:
    at = open_project(folder)
    with locked_and_repaired(at.stores):
        yield at
