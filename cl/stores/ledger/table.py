"""The ledger's table: created on first use, or upgraded if an older release created it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from cl.config.messages import explain
from cl.errors import LedgerRowError
from cl.records import LedgerEntry
from cl.stores.ledger.hash_chain import seal_entry

TABLE = sa.Table(
    "cl_ledger",
    sa.MetaData(),
    sa.Column("model", sa.String(255), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("recorded_at", sa.String(40), nullable=False),
    sa.Column("actor", sa.String(255), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("from_version", sa.String(50)),
    sa.Column("to_version", sa.String(50), nullable=False),  # empty: no version; older tables forbid null
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    # later columns: an older table gets them, empty, on first use
    sa.Column("alias", sa.String(20)),
    sa.Column("share", sa.Double),
    sa.Column("verdict_digest", sa.String(64)),
    sa.Column("previous", sa.String(64)),
    sa.Column("hash", sa.String(64)),
    sa.Column("signature", sa.String(64)),
    sa.Column("manifest_digest", sa.String(64)),
)
LATER = ("alias", "share", "verdict_digest", "previous", "hash", "signature", "manifest_digest")
FIRST_USE_TRIES = 5


def create_table(engine: sa.Engine) -> None:
    """Create the table, or add missing columns and chain the existing entries."""
    for attempt in range(FIRST_USE_TRIES):
        try:
            TABLE.metadata.create_all(engine)
            _complete(engine)
            return
        except sa.exc.SQLAlchemyError:
            # processes that create or alter the table at the same time all fail but one; the others try again
            if attempt == FIRST_USE_TRIES - 1:
                raise
            time.sleep(0.1 * (attempt + 1))


def to_row(model: str, entry: LedgerEntry) -> dict[str, Any]:
    """Return the row of an entry."""
    return {
        **entry.model_dump(),
        "recorded_at": entry.recorded_at.isoformat(),
        "to_version": entry.to_version or "",
        "model": model,
    }


def from_row(row: Any, position: int = 0) -> LedgerEntry:
    """Return the entry of a row.

    Args:
        row: a mapping of the columns.
        position: of the row in the ledger of its model, from 1, by which it is named if it has no sequence number.

    Raises:
        LedgerRowError: a column holds what no entry can; the message names row, column, value and remedy.
    """
    fields = {key: value for key, value in row.items() if key != "model"}
    empty = {"alias": row["alias"] or "champion"} | {key: row[key] or "" for key in ("previous", "hash", "signature")}
    try:
        entry = LedgerEntry(**fields | empty | {"to_version": row["to_version"] or None})
    except ValidationError as error:
        raise _unreadable(row, position, explain(error, LedgerEntry)) from None
    if entry.recorded_at.tzinfo is None:
        raise _unreadable(row, position, f"recorded_at has no time zone, got {str(row['recorded_at'])[:40]!r}")
    return entry


def _unreadable(row: Any, position: int, why: str) -> LedgerRowError:
    sequence = row["sequence"]
    number = sequence if isinstance(sequence, int) else position
    return LedgerRowError(
        f"row {number} of the ledger of '{row['model']}' cannot be read: {why}; nothing was moved; restore it in the "
        f"table {TABLE.name} from a backup, or vouch for a version: cl audit --repair VERSION --why TEXT",
        row=number,
        why=why,
    )


def _complete(engine: sa.Engine) -> None:
    """Add the columns that an older table lacks, then chain its entries unchanged.

    Entries are chained only if none has a hash yet: a single entry without a hash was written by another program.
    """
    known = {column["name"] for column in sa.inspect(engine).get_columns(TABLE.name)}
    for name in LATER:
        if name not in known:
            kind = TABLE.c[name].type.compile(engine.dialect)
            with engine.begin() as connection:
                connection.execute(sa.text(f"ALTER TABLE {TABLE.name} ADD COLUMN {name} {kind}"))
    query = sa.select(TABLE).order_by(TABLE.c.model, TABLE.c.sequence)
    with engine.begin() as connection:
        if connection.execute(sa.select(TABLE.c.hash).where(TABLE.c.hash.is_not(None)).limit(1)).first():
            return
        last: dict[str, str] = {}
        read: Counter[str] = Counter()
        for row in connection.execute(query).mappings().all():
            model = row["model"]
            read[model] += 1
            entry = seal_entry(model, from_row(row, read[model]), previous=last.get(model, ""))
            unchained = (TABLE.c.model == model) & (TABLE.c.sequence == entry.sequence) & TABLE.c.hash.is_(None)
            connection.execute(TABLE.update().where(unchained).values(**to_row(model, entry)))
            last[model] = entry.hash
