"""Find what was changed in MLflow outside Perennial, and undo it: the ledger and the versions say how it was."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cl.errors import InputError
from cl.promotion.by_hand import check_reason
from cl.promotion.repair import repair_aliases
from cl.records import LedgerEntry
from cl.stores.ledger import state
from cl.stores.ledger.state import ALIASES
from cl.stores.mlflow.outside_changes import REMEDY, REPAIR
from cl.stores.mlflow.registry import Registry
from cl.stores.mlflow.runs import CYCLE_ID
from cl.stores.stores import Stores

log = logging.getLogger(__name__)
SHOWN = 5
"""The most versions that are named in a line."""


def outside_changes(registry: Registry, entries: Sequence[LedgerEntry]) -> list[str]:
    """Return a line for each change, with its remedy: of the experiment, the model, its aliases, and its runs."""
    experiment, held = registry.runs.problem(), state.holders(entries)
    missing = registry.missing_model() if "champion" in held else None
    lines = [line for line in (experiment, missing.line if missing else None) if line is not None]
    if missing is None:
        lines += _moved_aliases(registry, entries)
    return lines if experiment else [*lines, *_deleted_runs(registry)]


def warn_of_changes(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Log a warning about each thing that was changed in MLflow by hand."""
    for line in outside_changes(registry, entries):
        log.warning("%s", line)


def undo_changes(stores: Stores, *, why: str) -> list[str]:
    """Put MLflow back as far as possible and return what was done; call it with the project's lock held.

    Raises:
        InputError: nothing was changed that can be put back, or the reason is missing.
        IntegrityError: the ledger cannot be trusted.
        StoreError: MLflow refuses.
    """
    check_reason(why)
    registry, ledger = stores.registry, stores.ledger
    registry.initialise()
    before = outside_changes(registry, ledger.unverified(registry.model))
    if not before:
        raise InputError(f"MLflow is as the ledger of '{registry.model}' says; there is nothing to put back")
    done = registry.runs.put_back()
    repair_aliases(registry, ledger)
    after = outside_changes(registry, ledger.entries(registry.model))
    return done + [f"undone: {_without_remedy(line)}" for line in before if line not in after and "alias" in line]


def _moved_aliases(registry: Registry, entries: Sequence[LedgerEntry]) -> list[str]:
    if entries and entries[-1].state == "intent":  # a move is under way, or was interrupted; the next one settles it
        return []
    aliases, lines = registry.aliases(), []
    there = {info.version for info in registry.versions()} if entries else set()
    for alias in ALIASES:
        wanted, current = state.holder(entries, alias), aliases.get(alias)
        if wanted is not None and wanted not in there:
            rest = ", ".join(sorted(there, key=int))
            remedy = f"to withdraw it: cl promote --withdraw {alias} --why TEXT"
            if alias == "champion":
                remedy = f"to let another serve: cl rollback VERSION; there are: {rest}"
            lines.append(f"version {wanted}, the {alias} by the ledger, was deleted from MLflow; {remedy}")
        elif entries and current != wanted:
            placed = f"points to version {current}" if current else "is gone"
            says = f"the ledger says {wanted or 'none'}, which prevails"
            lines.append(f"MLflow's alias {alias} {placed}, {says}; {REMEDY}")
    return lines


def _deleted_runs(registry: Registry) -> list[str]:
    """Return a line about versions whose runs MLflow has marked as deleted, and one about runs that are gone."""
    infos = [info for info in registry.versions() if CYCLE_ID in info.tags]
    if not infos:
        return []
    stages, finished = registry.runs.recorded()
    deleted = [info.version for info in infos if stages.get(info.tags[CYCLE_ID]) == "deleted"]
    removed = [
        info.version
        for info in infos
        if info.tags[CYCLE_ID] not in stages and info.tags.get("cl.experience") not in finished
    ]
    lines = [f"the MLflow run of version {_join(deleted)} was deleted; {REMEDY}"] if deleted else []
    if removed:
        lines.append(
            f"the MLflow run of version {_join(removed)} was removed for good, and its cycle with it; to record the "
            f"cycle again from this machine's copy: {REPAIR}, or to run it again: cl run"
        )
    return lines


def _join(versions: Sequence[str]) -> str:
    more = f" and {len(versions) - SHOWN} more" if len(versions) > SHOWN else ""
    return ", ".join(versions[:SHOWN]) + more


def _without_remedy(line: str) -> str:
    return line.removesuffix(f"; {REMEDY}")
