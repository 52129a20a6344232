"""`cl run`: run the cycles that are due, inline or as a Prefect flow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from cl import plugins
from cl.cycle.backlog import due_experiences
from cl.heavy import without_collections
from cl.process.progress import stage
from cl.records import Cycle
from cl.stores.data.descriptions import descriptions_changed
from cl.stores.mlflow.environment import import_mlflow
from cl.stores.mlflow.fresh_process import fresh_process_at_hand
from cl.stores.opened import OpenProject, open_project
from cl.stores.stores import Stores

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
    is_read = is_read or descriptions_changed(project.project, project.config.data.described)
    if again is None and not is_read and project.stores.data.is_here():
        finished = project.stores.finished()
        if all(experience.id in finished for experience in project.stores.experiences.all()):
            project.stores.ledger.entries(project.config.name)  # one query: cheaper than a server and torch's import
            return []
    with project.project.lock():
        pass
    if again is not None:
        due_experiences(project.stores, again=again)  # refuses an unknown one before a server is started
    run = _run_plainly if runner == "plain" else _run_as_flow
    return run(project, again)


def _run_plainly(project: OpenProject, again: str | None) -> list[Cycle]:
    with libraries_at_hand(project.stores):
        from cl.lifecycle import run_waiting

        return run_waiting(project.project, again=again)


def _run_as_flow(project: OpenProject, again: str | None) -> list[Cycle]:
    with stage("load Prefect"), without_collections():
        from flows.temporary_server import TemporaryServer

        server = TemporaryServer.begin()  # it starts while this process imports the libraries
    with libraries_at_hand(project.stores):
        with stage("load the flow"), without_collections():
            from flows.cycle import learn as learn_flow
            from flows.run_logs import deliver_logs
            from flows.server import ensure_reachable

        with server.in_use() if server else nullcontext():
            ensure_reachable()
            try:
                return [Cycle.model_validate(cycle) for cycle in learn_flow(str(project.project.root), again)]
            finally:
                deliver_logs()


@contextmanager
def libraries_at_hand(stores: Stores) -> Iterator[None]:
    """Import what a cycle needs, and keep a process at hand in this block that has done nothing but these imports."""
    with stage("load libraries"), without_collections():
        has_computed = "torch" in sys.modules
        import_mlflow(stores.registry.runs.tracking_uri)
        import cl.lifecycle  # noqa: F401
    with nullcontext() if has_computed else fresh_process_at_hand():
        yield


def _nothing_in_source(project: OpenProject) -> str | None:
    if project.config.data.source is None:
        return None
    empty: str | None = plugins.build("sources", project.config.data.source).nothing_there(project.project.root)
    return empty
