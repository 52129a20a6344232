"""`cl run`: look whether anything is new, then run the cycles, inline or as a Prefect flow."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from cl.records import Cycle
from cl.stores.opened import open_project

Runner = Literal["prefect", "plain"]


def run_cycles(folder: Path, *, again: str | None, runner: Runner) -> list[Cycle]:
    """Return the cycles that were run; none when nothing waits, and then no server is started.

    Raises:
        IntegrityError: there is a key, and an entry of the ledger cannot be trusted.
        BusyError: another process works on this project.
        PerennialError: a stage failed.
    """
    at = open_project(folder)
    if again is None and at.config.data.source is None and at.stores.data.is_here():
        finished = at.stores.finished()
        if all(one.id in finished for one in at.stores.experiences.all()):
            if at.stores.ledger.key:  # one query, beside what a server and torch would take
                at.stores.ledger.entries(at.config.name)
            return []
    with at.project.lock():
        pass
    if runner == "plain":
        from cl.lifecycle import run_waiting

        return run_waiting(at.project, again=again)
    from flows.cycle import learn as learn_flow
    from flows.server import reach

    reach()
    return [Cycle.model_validate(cycle) for cycle in learn_flow(str(at.project.root), again)]
