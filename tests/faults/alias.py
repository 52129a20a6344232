"""Watches the alias from outside, as a server that follows it would: is every version that it points at whole?"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from cl.errors import IntegrityError
from cl.stores.manifest import check_manifest

EVERY = 0.05
CHAMPION = """SELECT v.version, v.storage_location FROM registered_model_aliases a JOIN model_versions v
    ON v.name = a.name AND v.version = a.version WHERE a.alias = 'champion'"""


@contextlib.contextmanager
def watched(database: str, artifacts: Path) -> Iterator[list[str]]:
    """Look at the champion many times a second while something happens, and list what was wrong with it.

    Args:
        database: SQLAlchemy URL of MLflow's database, read past MLflow, so that nothing hides what is there.
        artifacts: the folder with the files of all versions.
    """
    wrong: list[str] = []
    over = threading.Event()
    engine = sa.create_engine(database, poolclass=sa.NullPool)

    def look() -> None:
        while not over.wait(EVERY):
            for problem in problems(engine, artifacts):
                if problem not in wrong:
                    wrong.append(problem)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield wrong
    finally:
        over.set()
        watcher.join()
        wrong += [one for one in problems(engine, artifacts) if one not in wrong]


def problems(engine: sa.Engine, artifacts: Path) -> list[str]:
    """Return what is wrong with the champion at this moment; a database that is locked is looked at again."""
    try:
        with engine.connect() as connection:
            serving = connection.execute(sa.text(CHAMPION)).all()
    except sa.exc.DBAPIError:
        return []
    found = [] if len(serving) < 2 else [f"{len(serving)} champions at once"]
    for version, location in serving:
        try:
            _check(next(artifacts.glob(f"**/models/{str(location).rpartition('/models/')[2]}")))
        except (IntegrityError, OSError, StopIteration) as error:
            found.append(f"the alias points at version {version}, which is not whole: {error}")
    return found


def _check(folder: Path) -> None:
    """Compare all files of a version with its manifest.

    Raises:
        IntegrityError: one is missing or changed.
        StopIteration: there is no learner at all.
    """
    if not (folder / "MLmodel").is_file():
        raise IntegrityError(f"{folder}: MLmodel is missing")
    check_manifest(next((folder / "artifacts").iterdir()))
