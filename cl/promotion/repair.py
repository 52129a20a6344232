"""Bring ledger and registry together again: what a crash left is settled, an alias moved by hand is put back."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from cl.errors import ConflictError, StoreError
from cl.promotion.alias_moves import current_actor, follow_ledger, remember_head
from cl.records import Alias, LedgerEntry, Move
from cl.registry.versions import passed_versions, verdict_digest, version_exists
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.state import ALIASES, MOVES, TRIAL_ALIASES
from cl.stores.mlflow.registry import SHARE, Registry
from cl.stores.stores import Stores

log = logging.getLogger(__name__)
# an intent of this machine is of a dead process, for the project's lock is held; one from elsewhere may live
GRACE = timedelta(minutes=1)


@contextmanager
def locked_and_repaired(stores: Stores, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the project for as long as something is written, with ledger and registry brought together first.

    Args:
        stores: of the project.
        wait: seconds to wait for another process that works on it.

    Raises:
        BusyError: another process works on this project.
        ConflictError: another machine is moving the champion at this moment.
        StoreError: a store is out of reach.
    """
    with stores.project.lock(wait):
        stores.registry.initialise()
        repair_aliases(stores.registry, stores.ledger)
        yield


def repair_aliases(registry: Registry, ledger: Ledger) -> None:
    """Bring ledger and aliases together again; called with the project's lock held, before anything is written.

    An intent without a commit is of a process that died: it is committed if the alias had moved, else abandoned. Then
    the aliases follow the ledger, which notes where one was that nobody had moved through it. A ledger that is new
    beside an older registry adopts its champion.

    Raises:
        ConflictError: another machine is moving the champion at this moment.
        StoreError: the alias of a registry that is new here is on a version that never passed its gates.
    """
    model = registry.model
    _settle(registry, ledger)
    entries, found = ledger.entries(model), registry.aliases()
    if not entries and "champion" in found:
        _adopt(registry, ledger, entries, found["champion"])
        entries = ledger.entries(model)
    for alias in ALIASES:
        wanted = state.holder(entries, alias)
        if found.get(alias) != wanted:
            _put_back(registry, ledger, entries, alias, wanted, found.get(alias))
            entries = ledger.entries(model)
    _put_back_shares(registry, entries)
    remember_head(registry, entries)


def _settle(registry: Registry, ledger: Ledger) -> None:
    model = registry.model
    intent = ledger.open_intent(model)
    if intent is None:
        return
    elsewhere = not intent.actor.endswith(f"@{socket.gethostname()}")
    if elsewhere and datetime.now(UTC) - intent.at < GRACE:
        raise ConflictError(f"{intent.actor} is moving '{model}' to version {intent.to_version}; try again soon")
    aimed = intent.from_version if intent.action == "alias_moved" else intent.to_version
    done = registry.aliases().get(intent.alias) == aimed
    settled = (ledger.commit if done else ledger.abandon)(model, intent)
    log.warning("a move of '%s' to version %s had not ended: %s", model, settled.to_version, settled.state)


def _adopt(registry: Registry, ledger: Ledger, entries: Sequence[LedgerEntry], alias: str) -> None:
    model, versions = registry.model, registry.versions()
    if alias not in passed_versions(versions):
        raise StoreError(
            f"version {alias} of '{model}' has the alias champion but not the tag cl.gates=passed, and the "
            "ledger is empty; take the alias away, or set the tag if you answer for this version"
        )
    intent = ledger.intend(
        model,
        Move(
            action="adopt",
            expected=None,
            to=alias,
            why="found in the registry",
            actor=current_actor(),
            digest=verdict_digest(versions, alias),
        ),
        seen=entries,
    )
    ledger.commit(model, intent)


def _put_back(
    registry: Registry,
    ledger: Ledger,
    entries: Sequence[LedgerEntry],
    alias: Alias,
    wanted: str | None,
    found: str | None,
) -> None:
    """Point an alias to the ledger's version again, and write down where it was found.

    It is written as an intent, so that nobody moves the alias while it is put back; abandoned, it could not be.
    """
    model, told = registry.model, f"{alias} is {found} by alias, {wanted} by the ledger, which stands"
    log.warning("'%s': %s", model, told)
    gone = wanted is not None and not version_exists(registry, wanted)
    if _left_by_a_move(entries, alias, found) or (gone and _known(entries, alias, found)):
        follow_ledger(registry, entries)
        return
    intent = ledger.intend(
        model,
        Move(
            action="alias_moved",
            expected=state.champion(entries),
            to=found,
            why=f"found by hand: {told}" + ("; it was deleted and cannot be put back" if gone else "; put back"),
            actor=current_actor(),
            alias=alias,
        ),
        seen=entries,
    )
    follow_ledger(registry, entries)
    (ledger.abandon if gone else ledger.commit)(model, intent)


def _put_back_shares(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Let canary and shadow have the share that the ledger names; a move that only changed it may have been cut off."""
    held = state.holders(entries)
    beside = [held[alias] for alias in TRIAL_ALIASES if alias in held]
    tags = {one.version: one.tags.get(SHARE) for one in registry.versions()} if beside else {}
    for one in beside:
        if one.share is not None and one.to_version in tags and tags[one.to_version] != f"{one.share:g}":
            registry.set_share(one.to_version, one.share)


def _left_by_a_move(entries: Sequence[LedgerEntry], alias: Alias, found: str | None) -> bool:
    """Tell whether an alias is where a move that was cut off has left it: nobody moved it by hand."""
    last = entries[-1] if entries else None
    if last is None or found is None or last.action not in MOVES or last.to_version != found:
        return False
    return (last.state == "abandoned" and last.alias == alias) or (last.state == "committed" and alias in TRIAL_ALIASES)


def _known(entries: Sequence[LedgerEntry], alias: Alias, found: str | None) -> bool:
    """Tell whether it is written down already that an alias cannot be put back from where it is."""
    last = entries[-1]
    return (last.action, last.state, last.alias, last.to_version) == ("alias_moved", "abandoned", alias, found)
