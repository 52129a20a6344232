"""`cl rollback`: another version serves again."""

from __future__ import annotations

from pathlib import Path

from cl.commands.opening import opened
from cl.promote import rollback
from cl.records import LedgerEntry
from cl.repair import repair


def roll_back(folder: Path, version: str | None, *, why: str) -> LedgerEntry:
    """Move the champion alias back and return the ledger's entry.

    Raises:
        InputError: there is no such version, or it never passed its gates.
        BusyError: a cycle is running.
    """
    at = opened(folder)
    with at.project.lock():
        at.stores.registry.initialise()
        repair(at.stores.registry, at.stores.ledger)
        return rollback(at.stores.registry, at.stores.ledger, version, why=why)
