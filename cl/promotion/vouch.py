"""Repair a damaged ledger on a person's word: what can be trusted stays, and the person names the champion."""

from __future__ import annotations

from cl.errors import InputError, RefusedError
from cl.promotion.alias_moves import current_actor, follow_ledger, remember_head
from cl.promotion.by_hand import check_reason
from cl.records import LedgerEntry, Move
from cl.registry.versions import check_verdict, manifest_digest, passed_versions, verdict_digest
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry


def vouch_for(registry: Registry, ledger: Ledger, version: str, *, why: str) -> LedgerEntry:
    """Set the entries aside that cannot be trusted, and record who made which version champion after that, and why.

    The entries before the first violation stay. The others are kept in the database under another name. A command that
    is killed halfway leaves a ledger that still cannot be trusted, and is repeated.

    Args:
        registry: remembers the ledger's last entry, and has the versions.
        ledger: the damaged ledger.
        version: the version that is to serve; it must have passed its gates.
        why: the person's reason.

    Raises:
        InputError: the ledger is whole, there is no such version, or the reason is missing.
        RefusedError: the version did not pass its gates, was withdrawn, or its tags contradict its verdict.
    """
    check_reason(why)
    model, head, versions = registry.model, registry.ledger_head(), registry.versions()
    entries = ledger.unverified(model)
    violation = first_violation(model, entries, head=head, key=ledger.key)
    if violation is None:
        raise InputError(f"the ledger of '{model}' is whole; there is nothing to repair: cl promote, cl rollback")
    info = next((info for info in versions if info.version == version), None)
    if info is None:
        raise InputError(f"no version {version} of '{model}'; there are: {', '.join(i.version for i in versions)}")
    if version not in passed_versions(versions):
        raise RefusedError(f"version {version} of '{model}' did not pass its gates, or was withdrawn; name another")
    trusted = entries[: violation.sequence - 1]
    check_verdict(registry, info, trusted)
    removed = ledger.set_aside(model, keep=len(trusted))
    if trusted and trusted[-1].state == "intent":
        trusted = [*trusted[:-1], ledger.abandon(model, trusted[-1])]
    move = Move(
        action="repair",
        expected=state.champion(trusted),
        to=version,
        why=f"{why} (entry {violation.sequence} could not be trusted: {violation.why}; {removed} entries set aside)",
        actor=current_actor(),
        digest=verdict_digest(versions, version),
        manifest=manifest_digest(versions, version),
    )
    entry = ledger.intend(model, move, seen=trusted)
    registry.set_alias("champion", version)
    entry = ledger.commit(model, entry)
    registry.remember_head(entry.sequence, entry.hash)
    follow_ledger(registry, [*trusted, entry])
    remember_head(registry, [*trusted, entry])
    return entry
