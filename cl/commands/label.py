"""`cl label`: labels that came later, for rows that `cl predict --from` has answered."""

from __future__ import annotations

from pathlib import Path

from cl.errors import InputError
from cl.forgetting import forget
from cl.ingestion.ingest import ingest
from cl.ingestion.late_labels import LateLabels
from cl.records import Experience
from cl.stores.opened import open_project


def label_path(folder: Path, path: str) -> list[Experience]:
    """Join labels with the logged inputs by id, ingest them, and version the data.

    Raises:
        InputError: rows have no ids of their own in this project, so that nothing can be joined.
        SourceError: the path cannot be read, or no label belongs to a logged row; nothing has changed.
        BusyError: a cycle is running.
    """
    at = open_project(folder)
    if at.config.data.id is None:
        raise InputError(f"{at.project.config}: data.id is null; labels are joined by id: name the column")
    tokens = at.config.task == "token_classification"
    source = LateLabels(
        path=str(Path(path).absolute()),
        id=at.config.data.id,
        label=at.config.data.tags if tokens else at.config.data.label,
        input="tokens" if tokens else "text",
    )
    with at.project.lock():
        forget.finish_removal(at.config, at.stores)
        at.stores.data.initialise()
        at.stores.data.bring()
        experiences = ingest(at.config, at.project, source)
        at.stores.data.commit()
    return experiences
