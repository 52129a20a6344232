"""One model's ledger from one database to another, entry by entry, as it was."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cl.errors import InputError
from cl.redaction import without_password
from cl.stores.connectivity import open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.ledger.ledger import TABLE, Ledger


def copy_ledger(source: Ledger, target: Ledger, model: str) -> int:
    """Copy all entries of a model in one transaction and return how many there are; a copy that is there is compared.

    Raises:
        InputError: the target holds other entries of this model.
        StoreError: a database is out of reach.
    """
    entries = source.entries(model)
    target.entries(model)  # makes the tables
    name = f"the ledger at {without_password(target.uri)}"
    with translate_store_errors(name):
        with open_database(source.uri, source.uri).connect() as old, open_database(target.uri, name).begin() as new:
            for table in TABLE.metadata.sorted_tables:
                if "model" in table.c:
                    _copy(table, model, old, new, name)
    return len(entries)


def _copy(table: sa.Table, model: str, old: sa.Connection, new: sa.Connection, name: str) -> None:
    wanted, there = _rows(table, model, old), _rows(table, model, new)
    if wanted and not there:
        new.execute(table.insert(), wanted)
        there = _rows(table, model, new)
    if wanted != there:
        raise InputError(f"{name}: holds other entries of '{model}', or has gone on since; nothing was changed")


def _rows(table: sa.Table, model: str, connection: sa.Connection) -> list[dict[str, Any]]:
    asked = sa.select(table).where(table.c.model == model).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(asked).mappings()]
