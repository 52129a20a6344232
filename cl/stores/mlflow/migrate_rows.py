"""Copy one model's MLflow rows to another database: experiment, runs, versions and aliases, unchanged.

MLflow cannot move data between databases, and versions that are logged again get new runs, times and numbers. So the
rows are copied, in the order of their foreign keys and in one transaction. Only the experiment's number, which belongs
to the database, and the addresses of files change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from cl.errors import InputError, StoreError
from cl.redaction import without_password
from cl.stores.connectivity import guard_first_use, open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.mlflow.environment import silence_mlflow

EXPERIMENT_TABLES = (
    "experiment_tags", "runs", "metrics", "latest_metrics", "params", "tags", "datasets", "inputs", "input_tags",
    "logged_models", "logged_model_metrics", "logged_model_params", "logged_model_tags",
)  # fmt: skip
MODEL_TABLES = (
    "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags",
)  # fmt: skip
ADDRESS_COLUMNS = {
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns that hold the address of files."""

Row = dict[str, Any]


@dataclass(frozen=True)
class DatabaseRows:
    """The rows of one model in one MLflow database."""

    uri: str
    model: str

    def prepare(self) -> None:
        """Let MLflow create missing tables, and reject a database that it would have to upgrade.

        Raises:
            StoreError: the database is unreachable, or belongs to another release of MLflow.
        """
        silence_mlflow()
        with translate_store_errors(self.name), guard_first_use(self.uri, self.name):
            from mlflow import MlflowClient

            MlflowClient(self.uri, self.uri).search_experiments(max_results=1)

    @property
    def name(self) -> str:
        """The database's name in error messages."""
        return f"MLflow's database at {without_password(self.uri)}"

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine of the database."""
        return open_database(self.uri, self.name)

    @cached_property
    def tables(self) -> dict[str, sa.Table]:
        """All tables, referenced tables first."""
        metadata = sa.MetaData()
        metadata.reflect(self.engine)
        return {table.name: table for table in metadata.sorted_tables}

    def release(self, connection: sa.Connection) -> str:
        """Return the schema release of MLflow's tables."""
        return str(connection.execute(sa.select(self.tables["alembic_version"].c.version_num)).scalar())

    def experiment(self, connection: sa.Connection) -> Row | None:
        """Return the row of the model's experiment."""
        table = self.tables["experiments"]
        row = connection.execute(sa.select(table).where(table.c.name == self.model)).mappings().first()
        return dict(row) if row else None

    def places(self) -> list[str]:
        """Return the address of the files of every run and logged model."""
        with self.engine.connect() as connection:
            runs = [row["artifact_uri"] for row in self.of("runs", connection)]
            return [*runs, *(row["artifact_location"] for row in self.of("logged_models", connection))]

    def of(self, table: str, connection: sa.Connection) -> list[Row]:
        """Return the model's rows of a table."""
        rows = connection.execute(sa.select(self.tables[table]).where(self._belongs_to_model(table))).mappings()
        return [dict(row) for row in rows]

    def rows_not_moved(self, connection: sa.Connection) -> dict[str, int]:
        """Return table -> rows of the experiment in tables that are not moved, such as traces of other programs."""
        others = [name for name, table in self.tables.items() if "experiment_id" in table.c]
        counts = {}
        for name in others:
            if name != "experiments" and name not in EXPERIMENT_TABLES:
                query = sa.select(sa.func.count()).select_from(self.tables[name]).where(self._belongs_to_model(name))
                counts[name] = int(connection.execute(query).scalar_one())
        return {name: rows for name, rows in counts.items() if rows}

    def _belongs_to_model(self, name: str) -> sa.ColumnElement[bool]:
        """Return the condition that selects the model's rows of a table."""
        table, runs = self.tables[name], self.tables["runs"]
        experiments = self.tables["experiments"]
        experiment = sa.select(experiments.c.experiment_id).where(experiments.c.name == self.model).scalar_subquery()
        of_runs = sa.select(runs.c.run_uuid).where(runs.c.experiment_id == experiment)
        if name in MODEL_TABLES:
            return table.c.name == self.model
        if name == "inputs":  # a data set that a run read, or a model that it made
            return table.c.source_id.in_(of_runs) | table.c.destination_id.in_(of_runs)
        if name == "input_tags":
            inputs = self.tables["inputs"]
            return table.c.input_uuid.in_(sa.select(inputs.c.input_uuid).where(self._belongs_to_model("inputs")))
        if "experiment_id" in table.c:
            return table.c.experiment_id == experiment
        return table.c.run_uuid.in_(of_runs)


@dataclass(frozen=True)
class RowCopy:
    """The copy of a model's rows from one database to another.

    ``address`` maps an address in the source and the experiment's number in the target to the new address.
    """

    source: DatabaseRows
    target: DatabaseRows
    address: Callable[[str, int], str]

    def make(self, carry: Callable[[int], None]) -> dict[str, int]:
        """Copy all rows and return the number of rows per table; an existing copy is compared.

        Args:
            carry: copies the files, given the experiment's number in the target, before any row is visible.

        Raises:
            InputError: the target has another model of this name, or the source has no such model.
            StoreError: the databases belong to different releases, or a row differs after the copy.
        """
        for database in (self.source, self.target):
            database.prepare()
        with (
            translate_store_errors(self.target.name),
            self.source.engine.connect() as old,
            self.target.engine.begin() as new,
        ):
            self._check_compatible(old, new)
            if known := self.target.experiment(new):
                number = int(known["experiment_id"])
                counts = self._compare(old, new, number)
                carry(number)
                return counts
            number = self._insert_experiment(old, new)
            carry(number)
            self._insert_rows(old, new, number)
            return self._compare(old, new, number)

    def _check_compatible(self, old: sa.Connection, new: sa.Connection) -> None:
        ours, theirs = self.source.release(old), self.target.release(new)
        if ours != theirs:
            raise StoreError(
                f"{self.target.name}: has tables of release {theirs}, the source {ours}; run `mlflow db upgrade`"
            )
        if self.source.experiment(old) is None:
            raise InputError(f"{self.source.name}: knows no model '{self.source.model}'; there is nothing to move")

    def _insert_experiment(self, old: sa.Connection, new: sa.Connection) -> int:
        """Insert the experiment under the target's next free number."""
        table, row = self.target.tables["experiments"], dict(self.source.experiment(old) or {})
        location = row.pop("artifact_location")
        row.pop("experiment_id")
        number = int(new.execute(table.insert().values(**row)).inserted_primary_key[0])  # type: ignore[index]
        moved = {"artifact_location": self.address(location, number)}
        new.execute(table.update().where(table.c.experiment_id == number).values(**moved))
        return number

    def _insert_rows(self, old: sa.Connection, new: sa.Connection, number: int) -> None:
        for name in self._table_names():
            if rows := self._expected_rows(name, old, number):
                new.execute(self.target.tables[name].insert(), rows)

    def _compare(self, old: sa.Connection, new: sa.Connection, number: int) -> dict[str, int]:
        """Return the number of rows per table, if the target's rows equal the source's."""
        counts = {}
        for name in self._table_names():
            expected, actual = self._expected_rows(name, old, number), self.target.of(name, new)
            if _sort_rows(expected) != _sort_rows(actual):
                raise InputError(
                    f"{self.target.name}: holds another model '{self.target.model}' or later rows of it "
                    f"({name}: {len(actual)} rows there, {len(expected)} here); nothing was changed"
                )
            counts[name] = len(expected)
        return counts

    def _expected_rows(self, name: str, old: sa.Connection, number: int) -> list[Row]:
        """Return the source's rows of a table as they must be in the target."""
        rows = self.source.of(name, old)
        for row in rows:
            row |= {
                column: row[column] and self.address(row[column], number) for column in ADDRESS_COLUMNS.get(name, ())
            }
            if "experiment_id" in row:
                row["experiment_id"] = number
        return rows

    def _table_names(self) -> list[str]:
        return [name for name in self.target.tables if name in EXPERIMENT_TABLES + MODEL_TABLES]


def _sort_rows(rows: Iterable[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)
