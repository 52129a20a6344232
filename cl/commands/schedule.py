"""`cl schedule` and `cl trigger`: the flows served on this machine, and one more run of the learning flow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.stores.opened import open_project


def serve_schedule(folder: Path, *, tell: Callable[[str], None]) -> None:
    """Serve a project's flows until interrupted; says first what starts them.

    Raises:
        InputError: PREFECT_API_URL names no server, or the configuration is wrong.
        StoreError: the server does not answer.
    """
    at = open_project(folder)
    from flows.server import forgetful, reach_named

    server = reach_named()
    from flows.deployments import serve

    bounds = at.config.triggers
    tell(f"{server}: serves learn/{at.config.name} and watch/{at.config.name} until interrupted")
    tell(f"a look every {bounds.watch_minutes:g} minutes; learns on {', '.join(bounds.learn_on) or 'no event'}")
    tell(f"schedule: {f'{bounds.cron} ({bounds.timezone})' if bounds.cron else 'none'}")
    if forgetful():
        tell(
            "note: this server forgets who holds a slot when it restarts; start it with PREFECT_SERVER_CONCURRENCY_"
            "LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
        )
    serve(at.project.root, at.config)


def set_up_automations(folder: Path) -> None:
    """Make the server's automations what the configuration says, for flows that a work pool runs.

    Raises:
        InputError: no server is named, or the flows are not deployed on it.
        StoreError: the server does not answer.
    """
    at = open_project(folder)
    from flows.server import asked_in_a_line, reach_named

    reach_named()
    from flows.automations import set_up_for_pool

    with asked_in_a_line():
        set_up_for_pool(at.config)


def ask_for_cycle(folder: Path, again: str | None) -> dict[str, Any]:
    """Ask the served learning flow for a run, and return the run that will do it.

    Raises:
        InputError: no server is named, nothing is served, or there is no such experience.
        StoreError: the server does not answer.
    """
    at = open_project(folder)
    known = [one.id for one in at.stores.experiences.all()]
    if again is not None and again not in known:
        raise InputError(f"no experience '{again}'; there are: {', '.join(known) or 'none'}")
    from flows.run_requests import request
    from flows.server import asked_in_a_line

    with asked_in_a_line():
        run = request(at.project.root, again)
    return {"id": str(run.id), "name": run.name, "state": run.state.name if run.state else "Scheduled"}
