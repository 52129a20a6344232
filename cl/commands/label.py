"""`cl label`: ingest late labels for rows that `cl predict --from` answered."""

from __future__ import annotations

from pathlib import Path

from cl import plugins
from cl.commands.ingest import taking_corrections
from cl.errors import InputError
from cl.ingestion.ingest import ingest
from cl.ingestion.late_labels import LateLabels
from cl.records import Experience
from cl.revision import forget
from cl.stores.opened import open_project
from cl.tasks import Task


def label_path(folder: Path, path: str, *, take_corrections: bool = False) -> list[Experience]:
    """Join labels with the logged inputs by id, ingest them, and version the data.

    With ``take_corrections``, labels that contradict an earlier row replace it.

    Raises:
        InputError: this project's rows have no ids, so nothing can be joined.
        SourceError: the path cannot be read, or no label matches a logged row; nothing has changed.
        BusyError: a cycle is running.
    """
    project = open_project(folder)
    if project.config.data.id is None:
        raise InputError(
            f"{project.project.config}: data.id is null, but labels are joined by id; set it to the id column"
        )
    task: Task = plugins.build(Task, project.config.task)
    source = LateLabels(
        path=str(Path(path).absolute()),
        id=project.config.data.id,
        label=project.config.data.name_of(task.schema.answer.name),
    )
    with project.project.lock():
        forget.finish_removal(project.config, project.stores)
        project.stores.data.initialise()
        project.stores.data.bring()
        config = taking_corrections(project.config) if take_corrections else project.config
        experiences = ingest(config, project.project, source, later=take_corrections)
        project.stores.data.commit()
    return experiences
