"""Move an alias: write the intent to the ledger, set the alias, commit. MLflow's aliases follow the ledger."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from cl.errors import ConflictError, PerennialError
from cl.records import Alias, LedgerEntry, Move
from cl.registry.descriptions import refresh_descriptions
from cl.registry.versions import version_exists
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import contains_entry
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.state import ALIASES, TRIAL_ALIASES
from cl.stores.mlflow.registry import Registry

log = logging.getLogger(__name__)


def move_alias(registry: Registry, ledger: Ledger, move: Move, *, seen: Sequence[LedgerEntry]) -> LedgerEntry:
    """Move an alias and return the ledger's entry.

    The registry is only written while the intent is open, when no other process can move an alias. Only the
    descriptions, which people read, follow afterwards.

    Args:
        registry: the registry that holds the alias.
        ledger: records the intent before the move and the commit after it.
        move: the requested move.
        seen: the ledger entries that it is based on.

    Raises:
        ConflictError: the champion is no longer the expected one, or another process moved first; nothing was moved.
        IntegrityError: an entry of the ledger cannot be trusted, or is missing; nothing was moved.
        StoreError: the registry refused; the ledger entry is abandoned.
    """
    model = registry.model
    ledger.check(model, registry.ledger_head())
    entry = ledger.intend(model, move, seen=seen)
    try:
        _set_alias(registry, move.alias, move.to, move.share)
    except Exception:
        ledger.abandon(model, entry)
        raise
    _clean_up(registry, entry)
    try:
        settled = ledger.commit(model, entry)
    except ConflictError:
        follow_ledger(registry, ledger.entries(model))
        raise
    entries = [*seen, settled]
    remember_head(registry, entries)
    refresh_descriptions(registry, entries, [settled.from_version, settled.to_version])
    return settled


def follow_ledger(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Point every alias to the version in the ledger; log a warning if that version was deleted."""
    held, aliases = state.holders(entries), registry.aliases()
    for alias in ALIASES:
        wanted = held[alias].to_version if alias in held else None
        if aliases.get(alias) == wanted:
            continue
        if wanted is None or version_exists(registry, wanted):
            _set_alias(registry, alias, wanted, held[alias].share if alias in held else None)
        else:
            log.warning(
                "version %s of '%s' was deleted from the registry; choose another with `cl rollback VERSION`",
                wanted,
                registry.model,
            )


def remember_head(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Store the ledger's last settled entry in the registry, unless the stored one is missing from the ledger.

    A stored entry that is missing is kept, so that it is noticed. An open intent gets another hash when it is settled.
    """
    settled = [entry for entry in entries if entry.state != "intent"]
    if not settled:
        return
    last = settled[-1]
    try:
        head = registry.ledger_head()
        if head == (last.sequence, last.hash):
            return
        if head is None or contains_entry(entries, head):
            registry.remember_head(last.sequence, last.hash)
    except PerennialError as error:
        log.warning("ledger entry %s was written, but not stored in the registry: %s", last.sequence, error)


def _set_alias(registry: Registry, alias: Alias, version: str | None, share: float | None) -> None:
    if version is None:
        registry.delete_alias(alias)
        return
    if share is not None:
        registry.set_share(version, share)  # first, so that readers of the alias find the share
    registry.set_alias(alias, version)


def _clean_up(registry: Registry, entry: LedgerEntry) -> None:
    """Remove the version's previous trial alias and obsolete shares; a failure does not undo the move."""
    try:
        aliases = registry.aliases()
        obsolete = [
            alias
            for alias in TRIAL_ALIASES
            if alias != entry.alias and entry.to_version and aliases.get(alias) == entry.to_version
        ]
        for alias in obsolete:
            registry.delete_alias(alias)
        if entry.alias in TRIAL_ALIASES and entry.from_version not in (None, entry.to_version):
            registry.set_share(entry.from_version, None)
        if obsolete and entry.to_version and entry.share is None:
            registry.set_share(entry.to_version, None)
    except PerennialError as error:
        log.warning(
            "%s of '%s' succeeded, but obsolete aliases and shares were not removed: %s",
            entry.action,
            registry.model,
            error,
        )
