"""Read MLflow's database directly, for commands that only show what is there.

MLflow's client takes more than a second of imports before its first answer. Only the tables of releases that this file
knows are read (`SCHEMAS`); any other database is left to MLflow's client, which also upgrades it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from cl.stores.connectivity import open_database

if TYPE_CHECKING:
    import sqlalchemy as sa
    from mlflow import MlflowClient

SCHEMAS = ("dc11669786a5",)
"""Revisions of MLflow's tables, by their names in its migrations, that this file reads."""
WORKSPACE = "default"
ALIASES = "registered_model_aliases"
DELETED_STAGE = "Deleted_Internal"
"""The stage of versions that were deleted; MLflow keeps their rows."""
REDIRECTING = ("MLFLOW_WORKSPACE", "MLFLOW_ENABLE_WORKSPACES")
"""Variables that let MLflow's client look elsewhere."""
SQLITE = "sqlite:///"
ACTIVE_ONLY, DELETED_ONLY, ALL = 1, 2, 3
"""Values of MLflow's `ViewType`."""
STAGES = {ACTIVE_ONLY: ["active"], DELETED_ONLY: ["deleted"], ALL: ["active", "deleted"]}
NAMED = re.compile(r"name='(.*)'", re.DOTALL)
NAMED_AND_TAGGED = re.compile(r"name='(.*)' AND tags\.`([^`]+)` = '(.*)'", re.DOTALL)
TAGGED = re.compile(r"tags\.`([^`]+)` (!?=) '(.*)'", re.DOTALL)


class NotInDatabaseError(Exception):
    """The database holds no such experiment, run or version."""

    error_code = "RESOURCE_DOES_NOT_EXIST"
    """As MLflow's exceptions have it."""


class AllRuns(list[Any]):
    """All runs that were asked for: there is no further page."""

    token = None


class DatabaseClient:
    """The reading half of MLflow's client, with the same names, arguments and fields, as far as this project uses it.

    Args:
        uri: SQLAlchemy URL of the database.
        engine: connects to it; None: nothing was stored there yet.
    """

    def __init__(self, uri: str, engine: sa.Engine | None) -> None:
        self._uri, self._engine = uri, engine

    def get_experiment_by_name(self, name: str) -> Any:
        """Return an experiment that is called so, active or deleted; None: there is none."""
        return next(self._experiments("name", name), None)

    def get_experiment(self, experiment_id: str) -> Any:
        """Return an experiment, active or deleted.

        Raises:
            NotInDatabaseError: there is none with that id.
        """
        return _only(self._experiments("experiment_id", int(experiment_id)), f"experiment {experiment_id}")

    def get_run(self, run_id: str) -> Any:
        """Return a run, active or deleted.

        Raises:
            NotInDatabaseError: there is none with that id.
        """
        return _only(self._runs("r.run_uuid = :run", {"run": run_id}), f"run {run_id}")

    def search_runs(
        self,
        experiment_ids: Sequence[str],
        filter_string: str = "",
        run_view_type: int = ACTIVE_ONLY,
        max_results: int = 1_000,
        order_by: Sequence[str] = (),
        page_token: str | None = None,
    ) -> AllRuns:
        """Return the runs of an experiment, oldest first; the condition may name one tag."""
        del max_results, order_by, page_token
        condition = "r.experiment_id = :experiment"
        values: dict[str, Any] = {"experiment": int(experiment_ids[0])}
        if filter_string:
            key, operator, value = _parse(TAGGED, filter_string)
            condition += f" AND r.run_uuid IN (SELECT run_uuid FROM tags WHERE key = :key AND value {operator} :value)"
            values |= {"key": key, "value": value}
        stages = STAGES[run_view_type]
        return AllRuns(run for run in self._runs(condition, values) if run.info.lifecycle_stage in stages)

    def tagged_runs(self, experiment_id: str, key: str) -> list[tuple[str, int]]:
        """Return the runs of an experiment that have a tag, also deleted ones, and when each began, oldest first."""
        return self._rows(
            "SELECT r.run_uuid, r.start_time FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid WHERE t.key = :key "
            "AND t.value != '' AND r.experiment_id = :experiment ORDER BY r.start_time, r.run_uuid",
            {"key": key, "experiment": int(experiment_id)},
        )

    def stages_and_tags(self, experiment_id: str, keys: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
        """Return the stage of every run of an experiment, oldest first, and its tags with these keys."""
        names = {f"key{index}": key for index, key in enumerate(keys)}
        rows = self._rows(
            "SELECT r.run_uuid, r.lifecycle_stage, t.key, t.value FROM runs r LEFT JOIN tags t ON t.run_uuid = "
            f"r.run_uuid AND t.key IN ({', '.join(f':{name}' for name in names)}) "
            "WHERE r.experiment_id = :experiment ORDER BY r.start_time, r.run_uuid",
            {"experiment": int(experiment_id), **names},
        )
        runs: dict[str, tuple[str, dict[str, str]]] = {}
        for run, stage, key, value in rows:
            tags = runs.setdefault(run, (stage, {}))[1]
            if key is not None:
                tags[key] = value
        return list(runs.values())

    def search_registered_models(self, filter_string: str | None = None) -> list[Any]:
        """Return the registered model with a name, or all."""
        named = {} if filter_string is None else {"name": _parse(NAMED, filter_string)[0]}
        names = [row["name"] for row in self._select("registered_models", "name", named)]
        tags, aliases = (self._select(table, "*", named) for table in ("registered_model_tags", ALIASES))
        return [
            SimpleNamespace(
                name=name,
                tags={row["key"]: row["value"] for row in tags if row["name"] == name},
                aliases={row["alias"]: str(row["version"]) for row in aliases if row["name"] == name},
            )
            for name in names
        ]

    def search_model_versions(self, filter_string: str) -> list[Any]:
        """Return the versions of the registered model with a name: all, or those with a tag."""
        if (tagged := NAMED_AND_TAGGED.fullmatch(filter_string)) is None:
            return self._versions({"name": _parse(NAMED, filter_string)[0]})
        name, key, value = tagged.groups()
        numbers = self._rows(*self._query("model_version_tags", "version", {"name": name, "key": key, "value": value}))
        return [info for (version,) in numbers for info in self._versions({"name": name, "version": version})]

    def get_model_version(self, name: str, version: str) -> Any:
        """Return a version.

        Raises:
            NotInDatabaseError: the model has none with that number.
        """
        versions = self._versions({"name": name, "version": int(version)}) if version.isdigit() else []
        return _only(iter(versions), f"version {version} of '{name}'")

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[Any]:
        """Return the files and folders directly below a folder of a run."""
        root = self.files_of(run_id)
        if root is None:
            return list(self._full.list_artifacts(run_id, path))
        folder = root / (path or "")
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        return [SimpleNamespace(path=str(name.relative_to(root)), is_dir=name.is_dir()) for name in names]

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """Copy a file of a run to a folder, and return where it is."""
        root = self.files_of(run_id)
        if root is None:
            return str(self._full.download_artifacts(run_id, path, dst_path))
        target = Path(dst_path) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(root / path, target))

    def __getattr__(self, name: str) -> Any:
        """Leave all else to MLflow's client."""
        return getattr(self._full, name)

    @cached_property
    def _full(self) -> MlflowClient:
        from mlflow import MlflowClient

        return MlflowClient(self._uri, self._uri)

    def files_of(self, run_id: str) -> Path | None:
        """Return the folder of a run's files; None: they are not on this machine."""
        location = urlsplit(self.get_run(run_id).info.artifact_uri)
        return Path(unquote(location.path)) if location.scheme in ("", "file") and not location.netloc else None

    def _experiments(self, column: str, value: str | int) -> Iterator[Any]:
        for row in self._select("experiments", "experiment_id, name, lifecycle_stage", {column: value}):
            yield SimpleNamespace(**{**row, "experiment_id": str(row["experiment_id"])})

    def _runs(self, condition: str, values: dict[str, Any]) -> Iterator[Any]:
        fields = "run_uuid AS run_id, name AS run_name, experiment_id, lifecycle_stage, artifact_uri"
        rows = self._read(f"SELECT {fields} FROM runs r WHERE {condition} ORDER BY r.start_time, r.run_uuid", values)
        tags: dict[str, dict[str, str]] = defaultdict(dict)
        if rows:
            query = "SELECT t.run_uuid, t.key, t.value FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid"
            for tag in self._read(f"{query} WHERE {condition}", values):
                tags[tag["run_uuid"]][tag["key"]] = tag["value"]
        for row in rows:
            info = SimpleNamespace(**{**row, "experiment_id": str(row["experiment_id"])})
            yield SimpleNamespace(info=info, data=SimpleNamespace(tags=tags[info.run_id]))

    def _versions(self, which: dict[str, Any]) -> list[Any]:
        fields = "version, creation_time AS creation_timestamp, run_id, source, current_stage"
        tags: dict[int, dict[str, str]] = defaultdict(dict)
        for version, key, value in self._rows(*self._query("model_version_tags", "version, key, value", which)):
            tags[version][key] = value
        return [
            SimpleNamespace(**{**row, "version": str(row["version"])}, tags=tags[row["version"]])
            for row in self._select("model_versions", fields, which)
            if row["current_stage"] != DELETED_STAGE
        ]

    def _select(self, table: str, fields: str, which: dict[str, Any]) -> list[dict[str, Any]]:
        return self._read(*self._query(table, fields, which))

    def _query(self, table: str, fields: str, which: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        conditions = " AND ".join(f"{column} = :{column}" for column in ["workspace", *which])
        return f"SELECT {fields} FROM {table} WHERE {conditions}", {"workspace": WORKSPACE, **which}

    def _read(self, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        if self._engine is None:
            return []
        import sqlalchemy as sa

        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def _rows(self, query: str, values: dict[str, Any]) -> list[Any]:
        """Return the rows as tuples: where they are many, dictionaries would take longer than the query."""
        if self._engine is None:
            return []
        import sqlalchemy as sa

        with self._engine.connect() as connection:
            return list(connection.execute(sa.text(query), values))


def read_database(uri: str, store: str) -> DatabaseClient | None:
    """Return a client that reads MLflow's database; None: it is a server, or a database that this file does not know.

    Args:
        uri: of MLflow's tracking store.
        store: its name in messages.

    Raises:
        StoreError: the database does not answer.
    """
    if not uri.startswith((SQLITE, "postgresql")) or any(os.environ.get(name) for name in REDIRECTING):
        return None
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return DatabaseClient(uri, None)
    import sqlalchemy as sa

    engine = open_database(uri, store)
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return DatabaseClient(uri, None)
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return DatabaseClient(uri, engine) if revision in SCHEMAS else None


def _parse(pattern: re.Pattern[str], condition: str) -> tuple[str, ...]:
    match = pattern.fullmatch(condition)
    assert match, condition
    return match.groups()


def _only(rows: Iterator[Any], name: str) -> Any:
    for row in rows:
        return row
    raise NotInDatabaseError(f"MLflow has no {name}")
