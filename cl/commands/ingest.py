"""`cl ingest`: read rows from a path into experiences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cl import plugins
from cl.config import Config
from cl.errors import InputError
from cl.ingestion.ingest import ingest
from cl.ingestion.seen_texts import LeftOut
from cl.ingestion.sources import Source
from cl.ingestion.sources._frame import Frame
from cl.records import Experience
from cl.revision import forget
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    import pandas as pd


def ingest_path(
    folder: Path, path: str, *, take_corrections: bool = False, skipped: LeftOut | None = None
) -> list[Experience]:
    """Ingest a file, a folder, or the configured source (`sql`), then version and push the data with DVC.

    Args:
        folder: the project.
        path: what to read.
        take_corrections: rows with a known id or text replace the earlier ones, whatever the configuration says.
        skipped: rows that are left out without being set aside are counted here, by why, and some are named.

    Raises:
        SourceError: the path cannot be read, or has no valid row; nothing has changed.
        BusyError: a cycle is running.
    """
    project = open_project(folder)
    if path == "sql":
        if project.config.data.source is None:
            raise InputError(f"{project.project.config}: data.source is not set; set it or pass a path")
        source = plugins.build(Source, project.config.data.source)
    else:
        source = plugins.build(
            "sources", {"name": "files", "path": str(Path(path).absolute()), "only": project.config.data.only}
        )
    return _ingest_and_commit(project, source, take_corrections=take_corrections, skipped=skipped)


def ingest_frame(folder: Path, frame: pd.DataFrame, *, name: str) -> list[Experience]:
    """Ingest the rows of a data frame as one experience.

    Raises:
        SourceError: it lacks a column, or has no valid row; nothing has changed.
        BusyError: a cycle is running.
    """
    return _ingest_and_commit(open_project(folder), Frame(frame=frame, label=name))


def ingest_served(folder: Path, *, take_corrections: bool = False) -> list[Experience]:
    """Make an experience from the predictions of `cl serve` labelled since the last time, however few.

    With ``take_corrections``, labels that contradict an earlier row replace it.

    Raises:
        StoreError: the server's log is damaged.
        SourceError: no labelled row is valid; nothing has changed.
        BusyError: a cycle is running.
    """
    return _ingest_and_commit(
        open_project(folder),
        plugins.build(Source, {"name": "serving", "min_rows": 1}),
        take_corrections=take_corrections,
    )


def _ingest_and_commit(
    project: OpenProject, source: Source, *, take_corrections: bool = False, skipped: LeftOut | None = None
) -> list[Experience]:
    config = taking_corrections(project.config) if take_corrections else project.config
    with project.project.lock():
        forget.finish_removal(project.config, project.stores)
        project.stores.data.initialise()
        project.stores.data.bring()
        experiences = ingest(config, project.project, source, skipped=skipped, later=take_corrections)
        project.stores.data.commit()
    return experiences


def taking_corrections(config: Config) -> Config:
    """Return a configuration that takes rows with a known id or text in place of the earlier ones."""
    return config.model_copy(update={"data": config.data.model_copy(update={"corrections": "take"})})
