"""The champion that serves: the ledger's, also where MLflow's alias was moved by hand."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from cl.errors import PerennialError
from cl.records import LedgerEntry
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import contains_entry
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.state import MOVES
from cl.stores.mlflow.outside_changes import REMEDY
from cl.stores.mlflow.registry import Registry

log = logging.getLogger(__name__)
RETRY_SECONDS = 30.0
"""Seconds for which a ledger that does not answer is not asked again."""


class LedgerChampion:
    """Says which version is the champion, given MLflow's alias; two threads ask.

    Every move sets the alias between its intent and its commit, so that an alias that the ledger has confirmed needs no
    look at the ledger until it changes. The alias is followed while a move is under way, and where the ledger cannot be
    asked: it does not answer, is empty, or is not the one whose last entry the registry remembers.
    """

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger = registry, ledger
        self._lock = threading.Lock()
        self._entries: Sequence[LedgerEntry] = ()
        self._last: tuple[int, str] | None = None
        self._silent_until, self._last_error = 0.0, ""
        self._confirmed: str | None = None
        self._decided: tuple[str | None, str | None] | None = None
        self.warning: str | None = None
        """What is wrong with the alias and how to put it back; None: it is where the ledger says."""

    def confirmed(self, alias: str | None) -> str | None:
        """Return the champion; the ledger is asked only if it has not confirmed this alias."""
        return alias if alias is not None and alias == self._confirmed else self.of(alias)

    def of(self, alias: str | None) -> str | None:
        """Return the champion by the ledger, where there is one that can be asked, else by the alias."""
        with self._lock:
            champion = self._decide(alias)
            self._decided = alias, champion
            self._confirmed, self.warning = champion if champion == alias else None, None
            if champion not in (alias, self._registry.champion()):  # it may have moved since it was read
                points = f"points to version {alias}" if alias else "is gone"
                serving = f"version {champion} serves" if champion else "no version serves"
                self.warning = f"MLflow's alias champion {points}; by the ledger {serving}; {REMEDY}"
        return champion

    def _decide(self, alias: str | None) -> str | None:
        if time.monotonic() < self._silent_until:
            return self._remembered(alias)
        try:
            entries = self._read()
            if not entries or _is_moving(entries[-1], alias):
                return alias
            champion = state.champion(entries)
            if champion != alias and self._is_another_ledger(entries):
                return alias
        except PerennialError as error:
            self._silent_until = time.monotonic() + RETRY_SECONDS
            if str(error) != self._last_error:
                log.warning("the ledger cannot be read, MLflow's alias champion is followed: %s", error)
            self._last_error = str(error)
            return self._remembered(alias)
        self._last_error = ""
        return champion

    def _remembered(self, alias: str | None) -> str | None:
        """Return what the ledger said last, if the alias has not moved since, else the alias."""
        decided = self._decided
        return decided[1] if decided and decided[0] == alias else alias

    def _read(self) -> Sequence[LedgerEntry]:
        """Return the entries, which are read again only if the last one has changed."""
        last = self._ledger.last(self._registry.model)
        if last != self._last:
            self._entries = self._ledger.unverified(self._registry.model)
            self._last = last
        return self._entries

    def _is_another_ledger(self, entries: Sequence[LedgerEntry]) -> bool:
        """Tell whether the registry remembers an entry that is not here: it belongs to a ledger out of reach."""
        head = self._registry.ledger_head()
        if head is None or contains_entry(entries, head):
            return False
        fresh = self._ledger.unverified(self._registry.model)  # an entry may have been written since
        return not contains_entry(fresh, head)


def _is_moving(last: LedgerEntry, alias: str | None) -> bool:
    """Tell whether the last entry is a move of the champion that has not been committed, and may have set the alias."""
    under_way = last.state == "intent" and last.action in MOVES and last.alias == "champion"
    return under_way and alias in (last.from_version, last.to_version)
