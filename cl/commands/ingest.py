"""`cl ingest`: rows from a path become experiences."""

from __future__ import annotations

from pathlib import Path

from cl import forget, plugins
from cl.commands.opening import Opened, opened
from cl.errors import InputError
from cl.ingest import ingest
from cl.records import Experience
from cl.sources import Source


def ingest_path(folder: Path, path: str) -> list[Experience]:
    """Ingest a file, a folder, or the configured source (`sql`), then add and push the data with DVC.

    Raises:
        SourceError: the path cannot be read, or holds no good row; nothing has changed.
        BusyError: a cycle is running.
    """
    at = opened(folder)
    if path == "sql":
        if at.config.data.source is None:
            raise InputError(f"{at.project.config}: data.source is not set; name a path, or set it")
        source = plugins.build("sources", at.config.data.source)
    else:
        source = plugins.build(
            "sources", {"name": "files", "path": str(Path(path).absolute()), "only": at.config.data.only}
        )
    return _ingested(at, source)


def ingest_served(folder: Path) -> list[Experience]:
    """Make an experience of the predictions of `cl serve` that were labelled since the last time, however few.

    Raises:
        StoreError: the server's log is damaged.
        SourceError: none of the labelled rows is good; nothing has changed.
        BusyError: a cycle is running.
    """
    return _ingested(opened(folder), plugins.build("sources", {"name": "serving", "min_rows": 1}))


def _ingested(at: Opened, source: Source) -> list[Experience]:
    with at.project.lock():
        forget.finish(at.config, at.stores)
        at.stores.data.initialise()
        at.stores.data.bring()
        experiences = ingest(at.config, at.project, source)
        at.stores.data.commit()
    return experiences
