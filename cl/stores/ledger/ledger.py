"""The promotion ledger: every move of the champion, as intent and then commit, one after the other.

MLflow's alias is last-writer-wins and has no history. Here a move is a row whose sequence number is unique
for its model: of two processes that want the same place, the database lets one in, and no lock outlives a
dead process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import sqlalchemy as sa

from cl.errors import ConflictError, IntegrityError
from cl.records import Action, Alias, LedgerEntry
from cl.redaction import without_password
from cl.stores.connectivity import open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.ledger import state as standing
from cl.stores.ledger.hash_chain import first_violation, seal_entry, sign_hash
from cl.stores.ledger.table import TABLE, create_table, from_row, to_row


@dataclass(frozen=True)
class Ledger:
    """The ledger of all models at one SQLAlchemy URL; with a key, each entry is signed, and none read that is not."""

    uri: str
    key: bytes | None = field(default=None, repr=False)

    def intend(
        self,
        model: str,
        action: Action,
        *,
        expected: str | None,
        to: str | None,
        why: str,
        actor: str,
        alias: Alias = "champion",
        share: float | None = None,
        digest: str | None = None,
        seen: Sequence[LedgerEntry] | None = None,
    ) -> LedgerEntry:
        """Write down the intent to move an alias, if the champion is still the expected one.

        Args:
            model: whose alias.
            action: what kind of move it is.
            expected: the champion that it rests on.
            to: the version that gets the alias; None takes it away.
            why: the reason, for people.
            actor: who moves it.
            alias: which alias.
            share: of the requests, for a canary or shadow.
            digest: of the verdict that it rests on.
            seen: the entries that it rests on; None reads them now.

        Raises:
            ConflictError: the champion is another, a move is under way, or another process came first.
        """
        before = self.entries(model) if seen is None else seen
        entry = _next(
            model,
            before,
            expected,
            actor=actor,
            action=action,
            alias=alias,
            share=share,
            from_version=standing.holder(before, alias),
            to_version=to,
            why=why,
            verdict_digest=digest,
            state="intent",
        )
        return self._insert(model, entry)

    def note(
        self,
        model: str,
        action: Action,
        *,
        expected: str | None,
        to: str,
        why: str,
        actor: str,
        seen: Sequence[LedgerEntry],
        alias: Alias = "champion",
        share: float | None = None,
        digest: str | None = None,
    ) -> LedgerEntry:
        """Write down what moves no alias, such as a person's no; the arguments are those of ``intend``.

        Raises:
            ConflictError: the champion is another, a move is under way, or another process came first.
        """
        entry = _next(
            model,
            seen,
            expected,
            actor=actor,
            action=action,
            alias=alias,
            share=share,
            from_version=expected,
            to_version=to,
            why=why,
            verdict_digest=digest,
            state="committed",
        )
        return self._insert(model, entry)

    def commit(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Declare a move done."""
        return self._settle(model, entry, "committed")

    def abandon(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Declare that a move will not be."""
        return self._settle(model, entry, "abandoned")

    def entries(self, model: str) -> list[LedgerEntry]:
        """Return all entries of a model, oldest first.

        Raises:
            IntegrityError: there is a key, and an entry cannot be trusted.
        """
        entries = self.unverified(model)
        if self.key and (found := first_violation(model, entries, key=self.key)):
            raise IntegrityError(f"{self._name}: entry {found.sequence} of '{model}' cannot be trusted: {found.why}")
        return entries

    def unverified(self, model: str) -> list[LedgerEntry]:
        """Return all entries of a model, oldest first, as they stand."""
        query = sa.select(TABLE).where(TABLE.c.model == model).order_by(TABLE.c.sequence)
        with self._begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [from_row(row) for row in rows]

    def champion(self, model: str) -> str | None:
        """Return the version that the last committed move made champion."""
        return standing.champion(self.entries(model))

    def open_intent(self, model: str) -> LedgerEntry | None:
        """Return a move that was begun and neither committed nor abandoned."""
        entries = self.entries(model)
        return entries[-1] if entries and entries[-1].state == "intent" else None

    def sign(self, model: str, entries: Sequence[LedgerEntry], key: bytes) -> None:
        """Sign entries as they stand: whoever asks for it answers for them."""
        with self._begin() as connection:
            for one in entries:
                mine = (TABLE.c.model == model) & (TABLE.c.sequence == one.sequence) & (TABLE.c.hash == one.hash)
                connection.execute(TABLE.update().where(mine).values(signature=sign_hash(one.hash, key)))

    def _insert(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        entry = seal_entry(model, entry, key=self.key)
        try:
            with self._begin() as connection:
                connection.execute(TABLE.insert().values(**to_row(model, entry)))
        except _PlaceTakenError:
            raise ConflictError(f"another process moved the champion of '{model}' first; try again") from None
        return entry

    def _settle(self, model: str, entry: LedgerEntry, state: Literal["committed", "abandoned"]) -> LedgerEntry:
        settled = seal_entry(model, entry, key=self.key, state=state)
        mine = (TABLE.c.model == model) & (TABLE.c.sequence == entry.sequence) & (TABLE.c.state == "intent")
        with self._begin() as connection:
            changed = connection.execute(
                TABLE.update().where(mine).values(state=settled.state, hash=settled.hash, signature=settled.signature)
            ).rowcount
        if not changed:
            raise ConflictError(f"entry {entry.sequence} of the ledger of '{model}' was settled by another process")
        return settled

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with translate_store_errors(self._name):
            try:
                with self._engine.begin() as connection:
                    yield connection
            except sa.exc.IntegrityError as error:
                raise _PlaceTakenError from error

    @property
    def _name(self) -> str:
        return f"the ledger at {without_password(self.uri)}"

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = open_database(self.uri, self._name)
        create_table(engine)
        return engine


class _PlaceTakenError(ConflictError):
    """Another process wrote the row with this sequence number first."""


def _next(model: str, before: Sequence[LedgerEntry], expected: str | None, **said: Any) -> LedgerEntry:
    """Return an entry that follows the entries and says this: with its place, its time, the hash before it.

    Clocks differ; the ledger's time does not go back, so that what held at a moment has one answer.
    """
    champion = standing.champion(before)
    if champion != expected:
        raise ConflictError(
            f"the champion of '{model}' is version {champion or 'none'} now, not {expected or 'none'}; "
            "compare the challenger with it and try again"
        )
    last = before[-1] if before else None
    if last and last.state == "intent":
        raise ConflictError(f"a move of '{model}' to version {last.to_version} is under way; try again")
    now = datetime.now(UTC)
    return LedgerEntry(
        sequence=last.sequence + 1 if last else 1,
        at=max(now, last.at) if last else now,
        previous=last.hash if last else "",
        **said,
    )
