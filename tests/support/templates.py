"""Projects that have learnt something already, made once for each process and copied for each test that goes on.

What MLflow keeps names the folder of the project that made it; in a copy it names the copy's.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from cl.stores.project_folder import ProjectFolder


def copied(template: ProjectFolder, folder: Path, **changes: Any) -> ProjectFolder:
    """Copy a project and return the copy, which knows nothing of the first one.

    Args:
        template: the project.
        folder: the copy; it is made.
        changes: top-level keys of its configuration that are replaced.
    """
    shutil.copytree(template.root, folder)
    with closing(sqlite3.connect(folder / "mlflow" / "mlflow.db")) as database, database:
        for table, column in _columns(database):
            database.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) WHERE instr("{column}", ?)',
                (str(template.root), str(folder), str(template.root)),
            )
    project = ProjectFolder(folder)
    project.config.write_text(yaml.safe_dump({**yaml.safe_load(project.config.read_text()), **changes}))
    return project


def _columns(database: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return [
        (table, column)
        for table in tables
        for _, column, kind, *_ in database.execute(f'PRAGMA table_info("{table}")')
        if kind.startswith(("VARCHAR", "TEXT", "CLOB"))
    ]
