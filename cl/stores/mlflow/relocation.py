"""Follow a project folder that was copied, renamed or moved: MLflow stores where files are as absolute addresses."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from cl.errors import StoreError

log = logging.getLogger(__name__)
SQLITE = "sqlite:///"
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Tables and columns of MLflow's database that hold addresses of files."""
LOCK_SECONDS = 30


def follow_folder(tracking_uri: str, artifacts: str | None, model: str, root: Path) -> None:
    """Make a database inside a project address the files inside the same project, wherever that lies now.

    Without this, a copy of a project would read the original's files, and delete them. A database outside the project,
    a server, or files in a remote store are named by the settings, and stay as they are.

    Args:
        tracking_uri: MLflow's database or server.
        artifacts: where the settings say that files are stored: an absolute path, a URI, or None.
        model: the model, whose name its experiment has.
        root: the project's folder.

    Raises:
        StoreError: the database addresses files elsewhere, and they are not where the settings say.
    """
    database = Path(tracking_uri.removeprefix(SQLITE))
    if not tracking_uri.startswith(SQLITE) or artifacts is None or "://" in artifacts:
        return
    if not database.is_relative_to(root) or not database.is_file():
        return
    new = Path(artifacts).as_uri()
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
            old = _location(connection, model)
            if old is None or old == new or not old.startswith("file:"):
                return
            stored = _stored_folders(connection, old)
        if stored and not any((Path(artifacts) / folder).is_dir() for folder in stored):
            raise StoreError(
                f"{database}: its versions are in {old}, and stores.artifacts says {artifacts}, where none of them is; "
                "copy the files there, or let stores.artifacts name the folder that they are in"
            )
        _rewrite(database, old, new)
    except sqlite3.Error:  # MLflow opens the same file next, and its error is reported
        return
    log.info("%s: the project was moved or copied from %s; its files are in %s", database, old, new)


def _location(connection: sqlite3.Connection, model: str) -> str | None:
    """Return where the model's experiment stores its files; None: there is no such experiment yet."""
    row = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", [model]).fetchone()
    return None if row is None or row[0] is None else str(row[0])


def _stored_folders(connection: sqlite3.Connection, location: str) -> list[str]:
    """Return the folders of runs and models below a location, relative to it; a few of each suffice."""
    folders = []
    for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
        query = f"SELECT {column} FROM {table} WHERE substr({column}, 1, ?) = ? LIMIT 100"  # names of ours
        prefix = f"{location}/"
        folders += [row[0].removeprefix(prefix) for row in connection.execute(query, [len(prefix), prefix])]
    return folders


def _rewrite(database: Path, old: str, new: str) -> None:
    """Replace the first part of every address, in one transaction."""
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as connection, connection:
        for table, column in ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                [new, len(old) + 1, old, len(old) + 1, f"{old}/"],
            )
