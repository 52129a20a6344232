"""The promotion ledger: every move of the champion, as intent and then commit, one after the other.

MLflow's alias is last-writer-wins and has no history. Here a move is a row whose sequence number is unique
for its model: of two processes that want the same place, the database lets one in, and no lock outlives a
dead process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import sqlalchemy as sa

from cl.errors import ConflictError
from cl.records import LedgerEntry
from cl.redact import without_password
from cl.stores.reach import open_database, told

TABLE = sa.Table(
    "cl_ledger",
    sa.MetaData(),
    sa.Column("model", sa.String(255), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("from_version", sa.String(50)),
    sa.Column("to_version", sa.String(50), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
)
FIRST_USE_TRIES = 5

Action = Literal["promote", "rollback", "adopt"]


@dataclass(frozen=True)
class Ledger:
    """The ledger of all models at one SQLAlchemy URL."""

    uri: str

    def intend(
        self,
        model: str,
        action: Action,
        *,
        expected: str | None,
        to: str,
        why: str,
        actor: str,
    ) -> LedgerEntry:
        """Write down the intent to move the champion, if it is still the expected one.

        Raises:
            ConflictError: the champion is another, a move is under way, or another process came first.
        """
        before = self.entries(model)
        champion = _champion(before)
        if champion != expected:
            raise ConflictError(
                f"the champion of '{model}' is version {champion or 'none'} now, not {expected or 'none'}; "
                "compare the challenger with it and try again"
            )
        if before and before[-1].state == "intent":
            raise ConflictError(f"a move of '{model}' to version {before[-1].to_version} is under way; try again")
        entry = LedgerEntry(
            sequence=before[-1].sequence + 1 if before else 1,
            at=datetime.now(UTC),
            actor=actor,
            action=action,
            from_version=expected,
            to_version=to,
            why=why,
            state="intent",
        )
        values = {**entry.model_dump(), "at": entry.at.isoformat(), "model": model}
        try:
            with self._begin() as connection:
                connection.execute(TABLE.insert().values(**values))
        except _PlaceTakenError:
            raise ConflictError(f"another process moved the champion of '{model}' first; try again") from None
        return entry

    def commit(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Declare a move done."""
        return self._settle(model, entry, "committed")

    def abandon(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Declare that a move will not be."""
        return self._settle(model, entry, "abandoned")

    def entries(self, model: str) -> list[LedgerEntry]:
        """Return all entries of a model, oldest first."""
        query = sa.select(TABLE).where(TABLE.c.model == model).order_by(TABLE.c.sequence)
        with self._begin() as connection:
            rows = connection.execute(query).mappings().all()
        return [LedgerEntry(**{key: value for key, value in row.items() if key != "model"}) for row in rows]

    def champion(self, model: str) -> str | None:
        """Return the version that the last committed move made champion."""
        return _champion(self.entries(model))

    def open_intent(self, model: str) -> LedgerEntry | None:
        """Return a move that was begun and neither committed nor abandoned."""
        entries = self.entries(model)
        return entries[-1] if entries and entries[-1].state == "intent" else None

    def previous(self, model: str) -> str | None:
        """Return the champion before the present one; after a rollback, the one before that."""
        trail: list[str] = []
        for entry in self.entries(model):
            if entry.state != "committed":
                continue
            if entry.action == "rollback" and entry.to_version in trail:
                del trail[trail.index(entry.to_version) + 1 :]
            else:
                trail.append(entry.to_version)
        return trail[-2] if len(trail) > 1 else None

    def _settle(self, model: str, entry: LedgerEntry, state: Literal["committed", "abandoned"]) -> LedgerEntry:
        mine = (TABLE.c.model == model) & (TABLE.c.sequence == entry.sequence) & (TABLE.c.state == "intent")
        with self._begin() as connection:
            changed = connection.execute(TABLE.update().where(mine).values(state=state)).rowcount
        if not changed:
            raise ConflictError(f"entry {entry.sequence} of the ledger of '{model}' was settled by another process")
        return entry.model_copy(update={"state": state})

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with told(self._name):
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
        for attempt in range(FIRST_USE_TRIES):
            try:
                TABLE.metadata.create_all(engine)
                break
            except sa.exc.SQLAlchemyError:
                # processes that see no table at one moment all create it; all but one fail, and look again
                if attempt == FIRST_USE_TRIES - 1:
                    raise
                time.sleep(0.1 * (attempt + 1))
        return engine


class _PlaceTakenError(ConflictError):
    """Another process wrote the row with this sequence number first."""


def _champion(entries: list[LedgerEntry]) -> str | None:
    committed = [entry for entry in entries if entry.state == "committed"]
    return committed[-1].to_version if committed else None
