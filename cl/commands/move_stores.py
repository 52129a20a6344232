"""`cl move-stores`: copy all versions from SQLite and files to a server's Postgres and object store, or back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.process.progress import stage
from cl.promotion.repair import locked_and_repaired
from cl.redaction import without_password
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.migrate import copy_ledger
from cl.stores.mlflow.migrate_files import ArtifactStore, CopiedFiles, copy_files, rewrite_address
from cl.stores.mlflow.migrate_rows import DatabaseRows, RowCopy
from cl.stores.opened import OpenProject, open_project
from cl.stores.stores import from_environment


def move_stores(
    folder: Path,
    *,
    tracking: str,
    artifacts: str,
    ledger: str,
    from_tracking: str | None = None,
    from_artifacts: str | None = None,
) -> dict[str, Any]:
    """Copy runs, versions, aliases, files and ledger, compare them, and return the new settings for cl.yaml.

    The old stores are only read. If killed or repeated, it resumes or only compares.

    Args:
        folder: the project.
        tracking: SQLAlchemy URL of the new database for runs and versions; `env:NAME` works for all of these.
        artifacts: new folder or URI for the files: a server's `--artifacts-destination`.
        ledger: SQLAlchemy URL of the new database for the ledger.
        from_tracking: the old server's database; None: cl.yaml names a database.
        from_artifacts: where the old server keeps the files; None: where its database says.

    Raises:
        BusyError: a cycle is running.
        InputError: a target belongs to another model, or is not a database.
        StoreError: a store is unreachable, or a copy differs from its original.
    """
    project = open_project(folder)
    source = _open_database(project, "--from-tracking", from_tracking or project.stores.registry.tracking_uri)
    target = _open_database(project, "--to-tracking", tracking)
    to = Ledger(project.project.resolve(from_environment("--to-ledger", ledger)))
    old = ArtifactStore(
        _resolve_location(project, "--from-artifacts", from_artifacts or ""), proxied=from_artifacts is not None
    )
    new = ArtifactStore(
        _resolve_location(project, "--to-artifacts", artifacts), proxied=not target.uri.startswith("sqlite")
    )
    with locked_and_repaired(project.stores):
        rows, files = _move(source, target, old, new)
        with stage("copy the ledger"):
            entries = copy_ledger(project.stores.ledger, to, project.config.name)
        with source.engine.connect() as connection:
            left = source.rows_not_moved(connection)
    return {
        "model": project.config.name,
        "runs": rows["runs"],
        "versions": rows["model_versions"],
        "files": files.files,
        "megabytes": files.megabytes,
        "ledger_entries": entries,
        "left_behind": left,
        "stores": {
            "tracking_uri": "http://SERVER:5000" if new.proxied else without_password(target.uri),
            "artifacts": None if new.proxied else new.files,
            "ledger_uri": without_password(to.uri),
        },
    }


def describe_moved(done: dict[str, Any]) -> list[str]:
    """Return the lines that report a move."""
    left = ", ".join(f"{rows} rows of {table}" for table, rows in done["left_behind"].items())
    stores = [f"  {key}: {'null' if value is None else value}" for key, value in done["stores"].items()]
    return [
        f"moved '{done['model']}': {done['runs']} runs, {done['versions']} versions, {done['files']} files "
        f"({done['megabytes']} MB), {done['ledger_entries']} ledger entries; all compared",
        *([f"left behind, because Perennial did not create it: {left}"] if left else []),
        "the old stores are unchanged. Now set in cl.yaml:",
        "stores:",
        *stores,
    ]


def _move(
    source: DatabaseRows, target: DatabaseRows, old: ArtifactStore, new: ArtifactStore
) -> tuple[dict[str, int], CopiedFiles]:
    source.prepare()
    with source.engine.connect() as connection:
        experiment = source.experiment(connection)
    if experiment is None:
        raise InputError(f"{source.name}: has no model '{source.model}'; there is nothing to move")
    number, known_as = int(experiment["experiment_id"]), str(experiment["artifact_location"])
    folders = [rewrite_address(address, known_as, "").removeprefix("/") for address in source.places()]
    carried: list[CopiedFiles] = []

    def bring(experiment_id: int) -> None:
        carried.append(copy_files(folders, old.bytes(number) if old.proxied else known_as, new.bytes(experiment_id)))

    copy = RowCopy(
        source, target, lambda address, experiment_id: rewrite_address(address, known_as, new.address(experiment_id))
    )
    with stage("copy runs and versions"):
        return copy.make(bring), carried[0]


def _open_database(project: OpenProject, option: str, uri: str) -> DatabaseRows:
    uri = project.project.resolve(from_environment(option, uri))
    if uri.startswith(("http://", "https://")) or "://" not in uri:
        raise InputError(
            f"{option}: {without_password(uri)} is not a database URL; use e.g. postgresql+psycopg2://host/mlflow"
        )
    return DatabaseRows(uri, project.config.name)


def _resolve_location(project: OpenProject, option: str, location: str) -> str:
    return project.project.resolve(from_environment(option, location))
