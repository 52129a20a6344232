"""`cl run`: run the cycles that are due, inline or as a Prefect flow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cl import plugins
from cl.cycle.backlog import due_experiences
from cl.process.progress import stage
from cl.records import Cycle
from cl.stores.opened import OpenProject, open_project

Runner = Literal["prefect", "plain"]


def nothing_in_source(folder: Path) -> str | None:
    """Return that the configured source of a project holds nothing to read; None: it may, or there is none.

    Raises:
        InputError: there is no project, or its configuration is invalid.
    """
    return _nothing_in_source(open_project(folder))


def run_cycles(folder: Path, *, again: str | None, runner: Runner) -> list[Cycle]:
    """Run the cycles that are due and return them; with none due, no server is started.

    Raises:
        IntegrityError: an entry of the ledger cannot be trusted, or read.
        BusyError: another process is working on this project.
        InputError: ``again`` names no experience.
        PerennialError: a stage failed.
    """
    project = open_project(folder)
    is_read = project.config.data.source is not None and not _nothing_in_source(project)
    if again is None and not is_read and project.stores.data.is_here():
        finished = project.stores.finished()
        if all(experience.id in finished for experience in project.stores.experiences.all()):
            project.stores.ledger.entries(project.config.name)  # one query: cheaper than a server and torch's import
            return []
    with project.project.lock():
        pass
    if again is not None:
        due_experiences(project.stores, again=again)  # refuses an unknown one before a server is started
    if runner == "plain":
        with stage("load libraries"):
            from cl.lifecycle import run_waiting

        return run_waiting(project.project, again=again)
    with stage("load Prefect"):
        from flows.cycle import learn as learn_flow
        from flows.run_logs import deliver_logs
        from flows.server import ensure_reachable

    ensure_reachable()
    try:
        return [Cycle.model_validate(cycle) for cycle in learn_flow(str(project.project.root), again)]
    finally:
        deliver_logs()


def _nothing_in_source(project: OpenProject) -> str | None:
    if project.config.data.source is None:
        return None
    empty: str | None = plugins.build("sources", project.config.data.source).nothing_there(project.project.root)
    return empty
