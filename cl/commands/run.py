"""`cl run`: run the cycles that are due, inline or as a Prefect flow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from cl import plugins
from cl.cycle.backlog import due_experiences
from cl.process.progress import stage
from cl.records import Cycle
from cl.stores.mlflow.fresh_process import fresh_process_at_hand
from cl.stores.opened import OpenProject, open_project

Runner = Literal["prefect", "plain"]


def run_cycles(
    folder: Path, *, again: str | None, runner: Runner, say: Callable[[str], None] = lambda text: None
) -> list[Cycle]:
    """Run the cycles that are due and return them; with none due, no server is started.

    Args:
        folder: of the project, or below it.
        again: an experience whose cycle is repeated.
        runner: with or without Prefect.
        say: called with what a person should know first: that the configured source holds nothing to read.

    Raises:
        IntegrityError: an entry of the ledger cannot be trusted, or read.
        BusyError: another process is working on this project.
        InputError: ``again`` names no experience.
        PerennialError: a stage failed.
    """
    project = open_project(folder)
    if empty := _nothing_in_source(project):
        say(empty)
    is_read = project.config.data.source is not None and not empty
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
            has_computed = "torch" in sys.modules
            from cl.lifecycle import run_waiting

        with nullcontext() if has_computed else fresh_process_at_hand():
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
