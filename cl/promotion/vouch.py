"""Repair a damaged ledger on a person's word: what can be trusted stays, and the person names the champion."""

from __future__ import annotations

from collections.abc import Sequence

from cl.errors import InputError, RefusedError
from cl.promotion.alias_moves import follow_ledger
from cl.promotion.by_hand import check_reason
from cl.records import IntegrityViolation, LedgerEntry, Move, VersionInfo
from cl.registry.descriptions import refresh_descriptions
from cl.registry.versions import check_verdict, manifest_digest, passed_versions, verdict_digest, version_exists
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry

NOBODY = "none"
"""In place of a version: no version serves, and the next cycle makes a first model again."""


def examine(registry: Registry, ledger: Ledger) -> tuple[list[LedgerEntry], IntegrityViolation | None]:
    """Return the readable entries, and the first violation: an unreadable or untrusted entry, or a lost registry.

    A registry is lost if it holds no version at all and the ledger made one champion.
    """
    head = registry.ledger_head()  # read before the entries: one that is written meanwhile is not missing
    entries, unreadable = ledger.readable(registry.model)
    if unreadable:
        chained = first_violation(registry.model, entries, key=ledger.key)
        return entries, chained or IntegrityViolation(
            sequence=len(entries) + 1, why=f"it cannot be read: {unreadable.why}"
        )
    violation = first_violation(registry.model, entries, head=head, key=ledger.key)
    return entries, violation or lost_registry(registry, entries)


def lost_registry(registry: Registry, entries: Sequence[LedgerEntry]) -> IntegrityViolation | None:
    """Return the entry of the champion if the registry holds no version at all; None: it does, or none served yet."""
    held = state.holders(entries).get("champion")
    serves = held is not None and held.to_version is not None and version_exists(registry, held.to_version)
    missing = None if held is None or serves else registry.missing_model()
    if held is None or missing is None:
        return None
    why = f"it made version {held.to_version} champion, and {missing.what}"
    return IntegrityViolation(sequence=held.sequence, why=why, remedy=missing.remedy)


def vouch_for(registry: Registry, ledger: Ledger, version: str, *, why: str) -> LedgerEntry:
    """Set the entries aside that cannot be trusted, and record who made which version champion after that, and why.

    The entries before the first violation stay, unless the registry was lost: its version numbers begin again. The
    others are kept in the database under another name. A command that is killed halfway leaves a ledger that still
    cannot be trusted, and is repeated.

    Args:
        registry: remembers the ledger's last entry, and has the versions.
        ledger: the damaged ledger.
        version: the version that is to serve, which must have passed its gates; "none": no version serves.
        why: the person's reason.

    Raises:
        InputError: the ledger is whole, there is no such version, or the reason is missing.
        RefusedError: the version did not pass its gates, was withdrawn, or its tags contradict its verdict.
    """
    check_reason(why)
    model, versions, (entries, violation) = registry.model, registry.versions(), examine(registry, ledger)
    if violation is None:
        raise InputError(f"the ledger of '{model}' is whole; there is nothing to repair: cl promote, cl rollback")
    trusted = entries[: violation.sequence - 1] if versions else []
    if version != NOBODY:
        _check_version(registry, versions, version, trusted)
    removed = ledger.set_aside(model, keep=len(trusted))
    if trusted and trusted[-1].state == "intent":
        trusted = [*trusted[:-1], ledger.abandon(model, trusted[-1])]
    trouble, _, _ = violation.why.partition("; ")  # without the remedy
    move = Move(
        action="repair",
        expected=state.champion(trusted),
        to=None if version == NOBODY else version,
        why=f"{why} (entry {violation.sequence} could not be trusted: {trouble}; {removed} entries set aside)",
        actor=current_actor(),
        digest=verdict_digest(versions, version),
        manifest=manifest_digest(versions, version),
    )
    entry = ledger.intend(model, move, seen=trusted)
    if version == NOBODY:
        registry.delete_alias("champion")
    else:
        registry.set_alias("champion", version)
    entry = ledger.commit(model, entry)
    if versions:
        registry.remember_head(entry.sequence, entry.hash)
        follow_ledger(registry, [*trusted, entry])
        refresh_descriptions(registry, [*trusted, entry], [entry.from_version, entry.to_version])
    return entry


def _check_version(
    registry: Registry, versions: Sequence[VersionInfo], version: str, entries: Sequence[LedgerEntry]
) -> None:
    info = next((info for info in versions if info.version == version), None)
    if info is None:
        there = ", ".join(info.version for info in versions) or NOBODY
        raise InputError(f"no version {version} of '{registry.model}'; there are: {there}")
    if version not in passed_versions(versions):
        raise RefusedError(
            f"version {version} of '{registry.model}' did not pass its gates, or was withdrawn; name another"
        )
    check_verdict(registry, info, entries)
