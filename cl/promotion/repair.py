"""Reconcile ledger and registry: settle interrupted moves, restore aliases that were moved by hand."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from cl.errors import ConflictError, IntegrityError, StoreError
from cl.promotion.alias_moves import follow_ledger, remember_head
from cl.promotion.vouch import lost_registry
from cl.records import Alias, LedgerEntry, Move
from cl.registry.descriptions import refresh_descriptions
from cl.registry.versions import check_verdict, manifest_digest, passed_versions, verdict_digest, version_exists
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.state import ALIASES, MOVES, TRIAL_ALIASES
from cl.stores.mlflow.registry import SHARE, Registry
from cl.stores.stores import Stores

log = logging.getLogger(__name__)
# an open intent of this machine is of a dead process, since we hold the project's lock; one from elsewhere may be live
GRACE = timedelta(minutes=1)


@contextmanager
def locked_and_repaired(stores: Stores, *, wait: float = 0.0) -> Iterator[None]:
    """Lock the project, reconcile ledger and registry, and hold the lock while the caller writes.

    Args:
        stores: the stores of the project.
        wait: seconds to wait for another process to release the project.

    Raises:
        BusyError: another process holds the project.
        ConflictError: another machine is moving the champion right now.
        StoreError: a store is unreachable.
    """
    with stores.project.lock(wait):
        stores.registry.initialise()
        repair_aliases(stores.registry, stores.ledger)
        yield


def repair_aliases(registry: Registry, ledger: Ledger) -> None:
    """Reconcile ledger and aliases; call it with the project's lock held, before anything is written.

    An open intent is of a process that died: it is committed if the alias had moved, and abandoned otherwise. Then the
    aliases follow the ledger, which records every alias that was moved without it. An empty ledger adopts the champion
    of an existing registry that remembers no entry.

    Raises:
        ConflictError: another machine is moving the champion right now.
        IntegrityError: an entry of the ledger cannot be trusted, or is missing; nothing was moved.
        StoreError: the ledger is empty, and the registry's champion never passed its gates.
    """
    model = registry.model
    _refuse_lost(registry, ledger.check(model, registry.ledger_head()))
    _settle_intent(registry, ledger)
    entries, aliases = ledger.entries(model), registry.aliases()
    if not entries and "champion" in aliases:
        _adopt_champion(registry, ledger, entries, aliases["champion"])
        entries = ledger.entries(model)
    for alias in ALIASES:
        wanted = state.holder(entries, alias)
        if aliases.get(alias) != wanted:
            _restore_alias(registry, ledger, entries, alias, wanted, aliases.get(alias))
            entries = ledger.entries(model)
    _restore_shares(registry, entries)
    remember_head(registry, entries)


def _refuse_lost(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    lost = lost_registry(registry, entries)
    if lost is not None:
        raise IntegrityError(f"entry {lost.sequence} of the ledger of '{registry.model}': {lost.why}; {lost.remedy}")


def _settle_intent(registry: Registry, ledger: Ledger) -> None:
    model = registry.model
    intent = ledger.open_intent(model)
    if intent is None:
        return
    elsewhere = not intent.actor.endswith(f"@{socket.gethostname()}")
    if elsewhere and abs(datetime.now(UTC) - intent.recorded_at) < GRACE:  # two clocks: either may be ahead
        raise ConflictError(f"{intent.actor} is moving '{model}' to version {intent.to_version}; try again in a minute")
    target = intent.from_version if intent.action == "alias_moved" else intent.to_version
    done = registry.aliases().get(intent.alias) == target
    settled = (ledger.commit if done else ledger.abandon)(model, intent)
    log.warning("an interrupted move of '%s' to version %s was settled: %s", model, settled.to_version, settled.state)
    refresh_descriptions(registry, ledger.entries(model), [settled.from_version, settled.to_version])


def _adopt_champion(registry: Registry, ledger: Ledger, entries: Sequence[LedgerEntry], version: str) -> None:
    model, versions = registry.model, registry.versions()
    if version not in passed_versions(versions):
        raise StoreError(
            f"version {version} of '{model}' has the alias champion but not the tag cl.gates=passed, and the "
            "ledger is empty; remove the alias, or set the tag if you vouch for this version"
        )
    check_verdict(registry, next(info for info in versions if info.version == version), entries)
    intent = ledger.intend(
        model,
        Move(
            action="adopt",
            expected=None,
            to=version,
            why="found in the registry",
            actor=current_actor(),
            digest=verdict_digest(versions, version),
            manifest=manifest_digest(versions, version),
        ),
        seen=entries,
    )
    refresh_descriptions(registry, [*entries, ledger.commit(model, intent)], [version])


def _restore_alias(
    registry: Registry,
    ledger: Ledger,
    entries: Sequence[LedgerEntry],
    alias: Alias,
    wanted: str | None,
    current: str | None,
) -> None:
    """Point an alias to the ledger's version again, and record in the ledger where it was.

    The record is an intent, so that no process moves the alias meanwhile; it is abandoned if the version was deleted.
    """
    model, mismatch = registry.model, f"{alias} is {current} by alias, {wanted} by the ledger, which prevails"
    log.warning("'%s': %s", model, mismatch)
    deleted = wanted is not None and not version_exists(registry, wanted)
    if _was_left_by_move(entries, alias, current) or (deleted and _is_recorded(entries, alias, current)):
        follow_ledger(registry, entries)
        return
    intent = ledger.intend(
        model,
        Move(
            action="alias_moved",
            expected=state.champion(entries),
            to=current,
            why=f"alias moved by hand: {mismatch}" + ("; deleted, cannot be restored" if deleted else "; restored"),
            actor=current_actor(),
            alias=alias,
        ),
        seen=entries,
    )
    follow_ledger(registry, entries)
    (ledger.abandon if deleted else ledger.commit)(model, intent)


def _restore_shares(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Set the shares of canary and shadow to the ledger's: a move of a share alone may have been interrupted."""
    held = state.holders(entries)
    trials = [held[alias] for alias in TRIAL_ALIASES if alias in held]
    tags = {info.version: info.tags.get(SHARE) for info in registry.versions()} if trials else {}
    for trial in trials:
        if trial.share is not None and trial.to_version in tags and tags[trial.to_version] != f"{trial.share:g}":
            registry.set_share(trial.to_version, trial.share)


def _was_left_by_move(entries: Sequence[LedgerEntry], alias: Alias, current: str | None) -> bool:
    """Tell whether an interrupted move left the alias where it is: nobody moved it by hand."""
    last = entries[-1] if entries else None
    if last is None or current is None or last.action not in MOVES or last.to_version != current:
        return False
    return (last.state == "abandoned" and last.alias == alias) or (last.state == "committed" and alias in TRIAL_ALIASES)


def _is_recorded(entries: Sequence[LedgerEntry], alias: Alias, current: str | None) -> bool:
    """Tell whether the ledger already records that the alias cannot be restored."""
    last = entries[-1]
    return (last.action, last.state, last.alias, last.to_version) == ("alias_moved", "abandoned", alias, current)
