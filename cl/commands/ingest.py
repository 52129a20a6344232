"""`cl ingest`: rows from a path become experiences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cl import plugins
from cl.errors import InputError
from cl.forgetting import forget
from cl.ingestion.ingest import ingest
from cl.ingestion.sources import Source
from cl.ingestion.sources._frame import Frame
from cl.records import Experience
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    import pandas as pd


def ingest_path(folder: Path, path: str) -> list[Experience]:
    """Ingest a file, a folder, or the configured source (`sql`), then add and push the data with DVC.

    Raises:
        SourceError: the path cannot be read, or holds no good row; nothing has changed.
        BusyError: a cycle is running.
    """
    at = open_project(folder)
    if path == "sql":
        if at.config.data.source is None:
            raise InputError(f"{at.project.config}: data.source is not set; name a path, or set it")
        source = plugins.build(Source, at.config.data.source)
    else:
        source = plugins.build(
            "sources", {"name": "files", "path": str(Path(path).absolute()), "only": at.config.data.only}
        )
    return _ingested(at, source)


def ingest_frame(folder: Path, frame: pd.DataFrame, *, name: str) -> list[Experience]:
    """Ingest the rows of a data frame as one experience.

    Raises:
        SourceError: it lacks a column, or holds no good row; nothing has changed.
        BusyError: a cycle is running.
    """
    return _ingested(open_project(folder), Frame(frame=frame, label=name))


def ingest_served(folder: Path) -> list[Experience]:
    """Make an experience of the predictions of `cl serve` that were labelled since the last time, however few.

    Raises:
        StoreError: the server's log is damaged.
        SourceError: none of the labelled rows is good; nothing has changed.
        BusyError: a cycle is running.
    """
    return _ingested(open_project(folder), plugins.build(Source, {"name": "serving", "min_rows": 1}))


def _ingested(at: OpenProject, source: Source) -> list[Experience]:
    with at.project.lock():
        forget.finish_removal(at.config, at.stores)
        at.stores.data.initialise()
        at.stores.data.bring()
        experiences = ingest(at.config, at.project, source)
        at.stores.data.commit()
    return experiences
