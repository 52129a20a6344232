"""Copy one model's ledger to another database, entry by entry and unchanged."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cl.errors import InputError
from cl.redaction import without_password
from cl.stores.connectivity import open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.table import TABLE


def copy_ledger(source: Ledger, target: Ledger, model: str) -> int:
    """Copy all entries of a model in one transaction and return their number; an existing copy is compared.

    Raises:
        InputError: the target holds other entries of this model.
        StoreError: a database is unreachable.
    """
    entries = source.entries(model)
    target.entries(model)  # creates the table
    name = f"the ledger at {without_password(target.uri)}"
    with translate_store_errors(name):
        with open_database(source.uri, source.uri).connect() as old, open_database(target.uri, name).begin() as new:
            for table in TABLE.metadata.sorted_tables:
                if "model" in table.c:
                    _copy_table(table, model, old, new, name)
    return len(entries)


def _copy_table(table: sa.Table, model: str, old: sa.Connection, new: sa.Connection, name: str) -> None:
    expected, actual = _read_rows(table, model, old), _read_rows(table, model, new)
    if expected and not actual:
        new.execute(table.insert(), expected)
        actual = _read_rows(table, model, new)
    if expected != actual:
        raise InputError(f"{name}: holds other or later entries of '{model}'; nothing was changed")


def _read_rows(table: sa.Table, model: str, connection: sa.Connection) -> list[dict[str, Any]]:
    query = sa.select(table).where(table.c.model == model).order_by(*table.primary_key.columns)
    return [dict(row) for row in connection.execute(query).mappings()]
