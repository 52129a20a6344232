"""`cl run`: run the cycles that are due, inline or as a Prefect flow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cl.process.progress import stage
from cl.records import Cycle
from cl.stores.opened import open_project

Runner = Literal["prefect", "plain"]


def run_cycles(folder: Path, *, again: str | None, runner: Runner) -> list[Cycle]:
    """Run the cycles that are due and return them; with none due, no server is started.

    Raises:
        IntegrityError: an entry of the ledger cannot be trusted, or read.
        BusyError: another process is working on this project.
        PerennialError: a stage failed.
    """
    project = open_project(folder)
    if again is None and project.config.data.source is None and project.stores.data.is_here():
        finished = project.stores.finished()
        if all(experience.id in finished for experience in project.stores.experiences.all()):
            project.stores.ledger.entries(project.config.name)  # one query: cheaper than a server and torch's import
            return []
    with project.project.lock():
        pass
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
