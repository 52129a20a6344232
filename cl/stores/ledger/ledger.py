"""The promotion ledger: every alias move in sequence, first as intent, then committed.

An MLflow alias is last-writer-wins and has no history. Here a move is a row whose sequence number is unique for its
model: if two processes claim the same number, the database accepts one of them, and no lock outlives a dead process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from itertools import takewhile
from typing import Any, Literal

import sqlalchemy as sa

from cl.errors import ConflictError, IntegrityError, LedgerRowError
from cl.records import IntegrityViolation, LedgerEntry, Move
from cl.redaction import without_password
from cl.stores.connectivity import open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation, seal_entry, sign_hash
from cl.stores.ledger.table import TABLE, create_table, from_row, to_row


@dataclass(frozen=True)
class _KnownEntries:
    """What was read of a model's entries last: rows that are still the same are neither read nor verified again."""

    rows: Sequence[sa.Row[Any]] = ()
    entries: list[LedgerEntry] = field(default_factory=list)
    verified: int = 0


@dataclass(frozen=True)
class Ledger:
    """The ledger of all models at one SQLAlchemy URL, verified whenever it is read; with a key, entries are signed."""

    uri: str
    key: bytes | None = field(default=None, repr=False)

    def intend(self, model: str, move: Move, *, seen: Sequence[LedgerEntry] | None = None) -> LedgerEntry:
        """Record the intent to move an alias, if the champion is still the expected version.

        Args:
            model: the model of the alias.
            move: the move to make.
            seen: the entries that the decision was based on; None reads them now.

        Raises:
            ConflictError: the champion has changed, a move is under way, or another process wrote first.
        """
        before = self.entries(model) if seen is None else seen
        entry = _next_entry(model, before, move, from_version=state.holder(before, move.alias), stage="intent")
        return self._insert(model, entry)

    def note(self, model: str, move: Move, *, seen: Sequence[LedgerEntry]) -> LedgerEntry:
        """Record an entry that moves no alias, such as a rejection; the arguments are those of `intend`.

        Raises:
            ConflictError: the champion has changed, a move is under way, or another process wrote first.
        """
        entry = _next_entry(model, seen, move, from_version=move.expected, stage="committed")
        return self._insert(model, entry)

    def commit(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Record that a move is done."""
        return self._settle(model, entry, "committed")

    def abandon(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        """Record that a move was given up."""
        return self._settle(model, entry, "abandoned")

    def entries(self, model: str) -> list[LedgerEntry]:
        """Return all entries of a model, oldest first.

        Raises:
            IntegrityError: an entry cannot be trusted.
            LedgerRowError: a row cannot be read as an entry.
        """
        return self._verify(model)

    def check(self, model: str, head: tuple[int, str] | None) -> list[LedgerEntry]:
        """Return all entries of a model, after checking that the registry's last one is among them.

        Args:
            model: the model.
            head: sequence number and hash that the registry remembers, read before this call: an entry that is written
                meanwhile is not missing.

        Raises:
            IntegrityError: an entry cannot be trusted, or is missing.
        """
        return self._verify(model, head)

    def _verify(self, model: str, head: tuple[int, str] | None = None) -> list[LedgerEntry]:
        """Return all entries, verified: those only that this object has not verified before."""
        entries = self.unverified(model)
        violation = first_violation(model, entries, head=head, key=self.key, trusted=self._known[model].verified)
        self._refuse_violation(model, violation)
        self._known[model] = replace(self._known[model], verified=len(entries))
        return entries

    def set_aside(self, model: str, *, keep: int) -> int:
        """Move all entries but the first ones out of a model's ledger, under a name of their own; return how many."""
        name = f"{model} until {datetime.now(UTC).isoformat(timespec='milliseconds')}"
        query = sa.select(TABLE.c.sequence).where(TABLE.c.model == model).order_by(TABLE.c.sequence)
        with self._begin() as connection:
            removed = connection.execute(query).scalars().all()[keep:]
            row = (TABLE.c.model == model) & TABLE.c.sequence.in_(removed)
            connection.execute(TABLE.update().where(row).values(model=name[-255:]))
        return len(removed)

    def _refuse_violation(self, model: str, violation: IntegrityViolation | None) -> None:
        if violation is not None:
            raise IntegrityError(
                f"{self._name}: entry {violation.sequence} of '{model}' cannot be trusted: {violation.why}; nothing "
                f"was moved; {violation.remedy}"
            )

    def unverified(self, model: str) -> list[LedgerEntry]:
        """Return all entries of a model, oldest first, without verifying them.

        Raises:
            LedgerRowError: a row cannot be read as an entry.
        """
        entries, unreadable = self.readable(model)
        if unreadable:
            raise unreadable
        return entries

    def readable(self, model: str) -> tuple[list[LedgerEntry], LedgerRowError | None]:
        """Return the entries of a model up to the first row that cannot be read as one, and what is wrong with that."""
        query = sa.select(TABLE).where(TABLE.c.model == model).order_by(TABLE.c.sequence)
        with self._begin() as connection:
            rows = connection.execute(query).all()
        known = self._known.get(model, _KnownEntries())
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(rows, known.rows, strict=False)))
        entries, unreadable = known.entries[:same], None
        for position, row in enumerate(rows[same:], start=same + 1):
            try:
                entries.append(from_row(row._mapping, position))
            except LedgerRowError as error:
                unreadable = LedgerRowError(f"{self._name}: {error}", row=error.row, why=error.why)
                break
        self._known[model] = _KnownEntries(rows[: len(entries)], entries, min(known.verified, same))
        return list(entries), unreadable

    @cached_property
    def _known(self) -> dict[str, _KnownEntries]:
        return {}

    def last(self, model: str) -> tuple[int, str] | None:
        """Return the sequence number and hash of a model's last entry, unverified: they change with every entry.

        Raises:
            StoreError: the ledger does not answer.
        """
        query = sa.select(TABLE.c.sequence, TABLE.c.hash).where(TABLE.c.model == model)
        with self._begin() as connection:
            row = connection.execute(query.order_by(TABLE.c.sequence.desc()).limit(1)).first()
        return None if row is None else (row[0], row[1] or "")

    def champion(self, model: str) -> str | None:
        """Return the version that the last committed move made champion."""
        return state.champion(self.entries(model))

    def open_intent(self, model: str) -> LedgerEntry | None:
        """Return the move that was begun but neither committed nor abandoned, or None."""
        entries = self.entries(model)
        return entries[-1] if entries and entries[-1].state == "intent" else None

    def sign(self, model: str, entries: Sequence[LedgerEntry], key: bytes) -> None:
        """Sign entries without verifying them; the caller vouches for them."""
        with self._begin() as connection:
            for entry in entries:
                row = (TABLE.c.model == model) & (TABLE.c.sequence == entry.sequence) & (TABLE.c.hash == entry.hash)
                connection.execute(TABLE.update().where(row).values(signature=sign_hash(entry.hash, key)))

    def _insert(self, model: str, entry: LedgerEntry) -> LedgerEntry:
        entry = seal_entry(model, entry, key=self.key)
        try:
            with self._begin() as connection:
                connection.execute(TABLE.insert().values(**to_row(model, entry)))
        except _SequenceTakenError:
            raise ConflictError(f"another process moved the champion of '{model}' first; try again") from None
        return entry

    def _settle(self, model: str, entry: LedgerEntry, stage: Literal["committed", "abandoned"]) -> LedgerEntry:
        settled = seal_entry(model, entry, key=self.key, state=stage)
        row = (TABLE.c.model == model) & (TABLE.c.sequence == entry.sequence) & (TABLE.c.state == "intent")
        with self._begin() as connection:
            changed = connection.execute(
                TABLE.update().where(row).values(state=settled.state, hash=settled.hash, signature=settled.signature)
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
                raise _SequenceTakenError from error

    @property
    def _name(self) -> str:
        return f"the ledger at {without_password(self.uri)}"

    @cached_property
    def _engine(self) -> sa.Engine:
        engine = open_database(self.uri, self._name)
        create_table(engine)
        return engine


class _SequenceTakenError(ConflictError):
    """Another process wrote the row with this sequence number first."""


def _next_entry(
    model: str,
    before: Sequence[LedgerEntry],
    move: Move,
    *,
    from_version: str | None,
    stage: Literal["intent", "committed"],
) -> LedgerEntry:
    """Return the next entry: a move with its sequence number, its time and the previous hash.

    Clocks differ, so the ledger's time never goes back: the state at any time has one answer.
    """
    champion = state.champion(before)
    if champion != move.expected:
        raise ConflictError(
            f"the champion of '{model}' is version {champion or 'none'} now, not {move.expected or 'none'}; "
            "compare the challenger with the new champion and try again"
        )
    last = before[-1] if before else None
    if last and last.state == "intent":
        raise ConflictError(f"a move of '{model}' to version {last.to_version} is under way; try again")
    now = datetime.now(UTC)
    return LedgerEntry(
        sequence=last.sequence + 1 if last else 1,
        recorded_at=max(now, last.recorded_at) if last else now,
        actor=move.actor,
        action=move.action,
        alias=move.alias,
        share=move.share,
        from_version=from_version,
        to_version=move.to,
        why=move.why,
        verdict_digest=move.digest,
        manifest_digest=move.manifest,
        state=stage,
        previous=last.hash if last else "",
    )
