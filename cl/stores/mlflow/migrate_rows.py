"""One model's MLflow rows from one database to another: experiment, runs, versions, aliases, each as it was.

MLflow moves nothing between databases by itself, and versions that are logged anew get other runs, times and numbers.
So the rows are copied, in the order of their foreign keys and in one transaction. What changes is the experiment's
number, which belongs to the database, and where files lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from cl.errors import InputError, StoreError
from cl.redaction import without_password
from cl.stores.connectivity import first_use, open_database
from cl.stores.error_messages import translate_store_errors
from cl.stores.mlflow.environment import silence_mlflow

OF_EXPERIMENT = (
    "experiment_tags", "runs", "metrics", "latest_metrics", "params", "tags", "datasets", "inputs", "input_tags",
    "logged_models", "logged_model_metrics", "logged_model_params", "logged_model_tags",
)  # fmt: skip
OF_MODEL = (
    "registered_models", "registered_model_tags", "registered_model_aliases", "model_versions", "model_version_tags",
)  # fmt: skip
PLACES = {
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Columns that hold an address of files."""

Row = dict[str, Any]


@dataclass(frozen=True)
class DatabaseRows:
    """What one MLflow database holds of one model."""

    uri: str
    model: str

    def prepare(self) -> None:
        """Let MLflow make its tables where they are missing, and refuse a database that it would have to upgrade.

        Raises:
            StoreError: the database is out of reach, or of another release of MLflow.
        """
        silence_mlflow()
        with translate_store_errors(self.name), first_use(self.uri, self.name):
            from mlflow import MlflowClient

            MlflowClient(self.uri, self.uri).search_experiments(max_results=1)

    @property
    def name(self) -> str:
        """What errors call it."""
        return f"MLflow's database at {without_password(self.uri)}"

    @cached_property
    def engine(self) -> sa.Engine:
        """The database."""
        return open_database(self.uri, self.name)

    @cached_property
    def tables(self) -> dict[str, sa.Table]:
        """All tables, those first that others refer to."""
        metadata = sa.MetaData()
        metadata.reflect(self.engine)
        return {table.name: table for table in metadata.sorted_tables}

    def release(self, connection: sa.Connection) -> str:
        """Return which release of MLflow's tables it has."""
        return str(connection.execute(sa.select(self.tables["alembic_version"].c.version_num)).scalar())

    def experiment(self, connection: sa.Connection) -> Row | None:
        """Return the row of the model's experiment."""
        table = self.tables["experiments"]
        found = connection.execute(sa.select(table).where(table.c.name == self.model)).mappings().first()
        return dict(found) if found else None

    def places(self) -> list[str]:
        """Return the address of the files of each run and each logged model."""
        with self.engine.connect() as connection:
            runs = [row["artifact_uri"] for row in self.of("runs", connection)]
            return [*runs, *(row["artifact_location"] for row in self.of("logged_models", connection))]

    def of(self, table: str, connection: sa.Connection) -> list[Row]:
        """Return the model's rows of a table."""
        found = connection.execute(sa.select(self.tables[table]).where(self._ours(table))).mappings()
        return [dict(row) for row in found]

    def beside(self, connection: sa.Connection) -> dict[str, int]:
        """Return how many rows of the experiment lie in tables that are not moved, such as traces made by others."""
        others = [name for name, table in self.tables.items() if "experiment_id" in table.c]
        counted = {}
        for name in others:
            if name != "experiments" and name not in OF_EXPERIMENT:
                asked = sa.select(sa.func.count()).select_from(self.tables[name]).where(self._ours(name))
                counted[name] = int(connection.execute(asked).scalar_one())
        return {name: rows for name, rows in counted.items() if rows}

    def _ours(self, name: str) -> sa.ColumnElement[bool]:
        """Return what tells the model's rows of a table."""
        table, runs = self.tables[name], self.tables["runs"]
        experiments = self.tables["experiments"]
        experiment = sa.select(experiments.c.experiment_id).where(experiments.c.name == self.model).scalar_subquery()
        of_runs = sa.select(runs.c.run_uuid).where(runs.c.experiment_id == experiment)
        if name in OF_MODEL:
            return table.c.name == self.model
        if name == "inputs":  # a data set that a run read, or a model that it made
            return table.c.source_id.in_(of_runs) | table.c.destination_id.in_(of_runs)
        if name == "input_tags":
            inputs = self.tables["inputs"]
            return table.c.input_uuid.in_(sa.select(inputs.c.input_uuid).where(self._ours("inputs")))
        if "experiment_id" in table.c:
            return table.c.experiment_id == experiment
        return table.c.run_uuid.in_(of_runs)


@dataclass(frozen=True)
class RowCopy:
    """The copy of a model's rows from one database to another; ``address`` says where files lie afterwards.

    ``address`` takes an address of the source and the experiment's number in the target.
    """

    source: DatabaseRows
    target: DatabaseRows
    address: Callable[[str, int], str]

    def make(self, carry: Callable[[int], None]) -> dict[str, int]:
        """Copy everything and return the number of rows a table; a copy that is there already is compared.

        Args:
            carry: brings the files, given the experiment's number in the target, before any row can be seen.

        Raises:
            InputError: the target knows another model of this name, or the source knows none.
            StoreError: the databases are of different releases, or a row did not come out as it went in.
        """
        for one in (self.source, self.target):
            one.prepare()
        with (
            translate_store_errors(self.target.name),
            self.source.engine.connect() as old,
            self.target.engine.begin() as new,
        ):
            self._fit(old, new)
            if known := self.target.experiment(new):
                number = int(known["experiment_id"])
                counted = self._compare(old, new, number)
                carry(number)
                return counted
            number = self._experiment(old, new)
            carry(number)
            self._insert(old, new, number)
            return self._compare(old, new, number)

    def _fit(self, old: sa.Connection, new: sa.Connection) -> None:
        mine, other = self.source.release(old), self.target.release(new)
        if mine != other:
            raise StoreError(
                f"{self.target.name}: has tables of release {other}, the source {mine}; `mlflow db upgrade`"
            )
        if self.source.experiment(old) is None:
            raise InputError(f"{self.source.name}: knows no model '{self.source.model}'; there is nothing to move")

    def _experiment(self, old: sa.Connection, new: sa.Connection) -> int:
        """Write the experiment under the next number that the target has free."""
        table, row = self.target.tables["experiments"], dict(self.source.experiment(old) or {})
        location = row.pop("artifact_location")
        row.pop("experiment_id")
        number = int(new.execute(table.insert().values(**row)).inserted_primary_key[0])  # type: ignore[index]
        place = {"artifact_location": self.address(location, number)}
        new.execute(table.update().where(table.c.experiment_id == number).values(**place))
        return number

    def _insert(self, old: sa.Connection, new: sa.Connection, number: int) -> None:
        for name in self._ordered():
            if rows := self._wanted(name, old, number):
                new.execute(self.target.tables[name].insert(), rows)

    def _compare(self, old: sa.Connection, new: sa.Connection, number: int) -> dict[str, int]:
        """Return the number of rows a table, when the target's are the source's."""
        counted = {}
        for name in self._ordered():
            wanted, there = self._wanted(name, old, number), self.target.of(name, new)
            if _sorted(wanted) != _sorted(there):
                raise InputError(
                    f"{self.target.name}: holds a model '{self.target.model}' that is not this one, or has gone on "
                    f"since ({name}: {len(there)} rows there, {len(wanted)} here); nothing was changed"
                )
            counted[name] = len(wanted)
        return counted

    def _wanted(self, name: str, old: sa.Connection, number: int) -> list[Row]:
        """Return the source's rows of a table as they are in the target."""
        rows = self.source.of(name, old)
        for row in rows:
            row |= {column: row[column] and self.address(row[column], number) for column in PLACES.get(name, ())}
            if "experiment_id" in row:
                row["experiment_id"] = number
        return rows

    def _ordered(self) -> list[str]:
        return [name for name in self.target.tables if name in OF_EXPERIMENT + OF_MODEL]


def _sorted(rows: Iterable[Row]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows)
