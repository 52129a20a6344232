"""One move of an alias: intent in the ledger, then the alias, then the commit; MLflow's aliases follow the ledger."""

from __future__ import annotations

import getpass
import logging
import socket
from collections.abc import Sequence

from cl.errors import ConflictError, PerennialError
from cl.records import Alias, LedgerEntry, Move
from cl.registry.versions import version_exists
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import contains_entry
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.state import ALIASES, TRIAL_ALIASES
from cl.stores.mlflow.registry import Registry

log = logging.getLogger(__name__)


def move_alias(registry: Registry, ledger: Ledger, move: Move, *, seen: Sequence[LedgerEntry]) -> LedgerEntry:
    """Move an alias, and return the ledger's entry.

    All that is written to the registry is written while the intent is open: nobody else can move an alias then.

    Args:
        registry: where the alias is.
        ledger: where the move is written down before and after it is made.
        move: what is to be.
        seen: the ledger's entries that it rests on.

    Raises:
        ConflictError: the champion is no longer the expected one, or another process was first; nothing has moved.
        StoreError: the registry refused; the ledger's entry is abandoned.
    """
    model = registry.model
    entry = ledger.intend(model, move, seen=seen)
    try:
        _point(registry, move.alias, move.to, move.share)
    except Exception:
        ledger.abandon(model, entry)
        raise
    _tidy(registry, entry)
    try:
        settled = ledger.commit(model, entry)
    except ConflictError:
        follow_ledger(registry, ledger.entries(model))
        raise
    remember_head(registry, [*seen, settled])
    return settled


def follow_ledger(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Point every alias to the version that the ledger names; one that was deleted is told: a rollback can mend it."""
    held, found = state.holders(entries), registry.aliases()
    for alias in ALIASES:
        wanted = held[alias].to_version if alias in held else None
        if found.get(alias) == wanted:
            continue
        if wanted is None or version_exists(registry, wanted):
            _point(registry, alias, wanted, held[alias].share if alias in held else None)
        else:
            log.warning("version %s of '%s' was deleted; `cl rollback VERSION`", wanted, registry.model)


def remember_head(registry: Registry, entries: Sequence[LedgerEntry]) -> None:
    """Let the registry keep the ledger's last entry in mind, unless what it remembers is not in the ledger.

    What was remembered and is gone stays remembered: `cl audit` must find it.
    """
    if not entries:
        return
    last = entries[-1]
    try:
        head = registry.ledger_head()
        if head == (last.sequence, last.hash):
            return
        if head is None or contains_entry(entries, head):
            registry.remember_head(last.sequence, last.hash)
    except PerennialError as error:
        log.warning("entry %s of the ledger stands, but the registry was not told of it: %s", last.sequence, error)


def current_actor() -> str:
    """Return who works here, as user@machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _point(registry: Registry, alias: Alias, version: str | None, share: float | None) -> None:
    if version is None:
        registry.delete_alias(alias)
        return
    if share is not None:
        registry.set_share(version, share)  # first: whoever follows the alias finds its share
    registry.set_alias(alias, version)


def _tidy(registry: Registry, entry: LedgerEntry) -> None:
    """Take away what a version was before, and the share of one that gets none any more; the move stands without."""
    try:
        found = registry.aliases()
        left = [
            one
            for one in TRIAL_ALIASES
            if one != entry.alias and entry.to_version and found.get(one) == entry.to_version
        ]
        for other in left:
            registry.delete_alias(other)
        if entry.alias in TRIAL_ALIASES and entry.from_version not in (None, entry.to_version):
            registry.set_share(entry.from_version, None)
        if left and entry.to_version and entry.share is None:
            registry.set_share(entry.to_version, None)
    except PerennialError as error:
        log.warning(
            "%s of '%s' stands; what the version was before was not tidied up: %s", entry.action, registry.model, error
        )
