"""`cl move-stores`: from SQLite and files to a server's Postgres and object store, or back, with every version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.promotion.repair import locked_and_repaired
from cl.redaction import without_password
from cl.stores.ledger.ledger import Ledger
from cl.stores.ledger.migrate import copy_ledger
from cl.stores.mlflow.migrate_files import ArtifactPlace, CopiedFiles, copy_files, rewrite_address
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
    """Copy runs, versions, aliases, files and ledger; compare all of it; say what cl.yaml shall say now.

    The stores that were used so far are only read. Killed or repeated, it goes on, or finds that all is there.

    Args:
        folder: the project.
        tracking: SQLAlchemy URL of the database that shall hold runs and versions; `env:NAME` for any of these.
        artifacts: folder or URI that shall hold the files: a server's `--artifacts-destination`.
        ledger: SQLAlchemy URL of the database that shall hold the ledger.
        from_tracking: the database of the server that was used so far; None: cl.yaml names a database.
        from_artifacts: where that server keeps the files; None: where its database says.

    Raises:
        BusyError: a cycle is running.
        InputError: a place is taken by another model, or is no database.
        StoreError: a store is out of reach, or something did not arrive as it left.
    """
    at = open_project(folder)
    source = _rows(at, "--from-tracking", from_tracking or at.stores.registry.tracking_uri)
    target = _rows(at, "--to-tracking", tracking)
    to = Ledger(at.project.resolve(from_environment("--to-ledger", ledger)))
    old = ArtifactPlace(_files(at, "--from-artifacts", from_artifacts or ""), proxied=from_artifacts is not None)
    new = ArtifactPlace(_files(at, "--to-artifacts", artifacts), proxied=not target.uri.startswith("sqlite"))
    with locked_and_repaired(at.stores):
        rows, files = _move(source, target, old, new)
        entries = copy_ledger(at.stores.ledger, to, at.config.name)
        with source.engine.connect() as connection:
            left = source.beside(connection)
    return {
        "model": at.config.name,
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
    """Return what people read of a move."""
    left = ", ".join(f"{rows} rows of {table}" for table, rows in done["left_behind"].items())
    stores = [f"  {key}: {'null' if value is None else value}" for key, value in done["stores"].items()]
    return [
        f"moved '{done['model']}': {done['runs']} runs, {done['versions']} versions, {done['files']} files "
        f"({done['megabytes']} MB), {done['ledger_entries']} entries of the ledger; all compared",
        *([f"left behind, for Perennial has not made it: {left}"] if left else []),
        "the old stores are as they were. Now let cl.yaml say:",
        "stores:",
        *stores,
    ]


def _move(
    source: DatabaseRows, target: DatabaseRows, old: ArtifactPlace, new: ArtifactPlace
) -> tuple[dict[str, int], CopiedFiles]:
    source.prepare()
    with source.engine.connect() as connection:
        experiment = source.experiment(connection)
    if experiment is None:
        raise InputError(f"{source.name}: knows no model '{source.model}'; there is nothing to move")
    number, known_as = int(experiment["experiment_id"]), str(experiment["artifact_location"])
    folders = [rewrite_address(one, known_as, "").removeprefix("/") for one in source.places()]
    carried: list[CopiedFiles] = []

    def bring(at: int) -> None:
        carried.append(copy_files(folders, old.bytes(number) if old.proxied else known_as, new.bytes(at)))

    copy = RowCopy(source, target, lambda one, at: rewrite_address(one, known_as, new.address(at)))
    return copy.make(bring), carried[0]


def _rows(at: OpenProject, option: str, uri: str) -> DatabaseRows:
    uri = at.project.resolve(from_environment(option, uri))
    if uri.startswith(("http://", "https://")) or "://" not in uri:
        raise InputError(f"{option}: {without_password(uri)} is no database, such as postgresql+psycopg2://host/mlflow")
    return DatabaseRows(uri, at.config.name)


def _files(at: OpenProject, option: str, place: str) -> str:
    return at.project.resolve(from_environment(option, place))
