"""`cl schedule` and `cl trigger`: serve the flows on this machine, and request a run of the learning flow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.stores.opened import open_project


def serve_schedule(folder: Path, *, tell: Callable[[str], None]) -> None:
    """Serve a project's flows until interrupted, after reporting their triggers through ``tell``.

    Raises:
        InputError: PREFECT_API_URL is not set, or the configuration is wrong.
        StoreError: the server does not answer.
    """
    project = open_project(folder)
    from flows.server import loses_leases, reach_named

    server = reach_named()
    from flows.deployments import serve

    bounds = project.config.triggers
    tell(f"{server}: serves learn/{project.config.name} and watch/{project.config.name} until interrupted")
    tell(f"checks every {bounds.watch_minutes:g} minutes; learns on {', '.join(bounds.learn_on) or 'no event'}")
    tell(f"schedule: {f'{bounds.cron} ({bounds.timezone})' if bounds.cron else 'none'}")
    if loses_leases():
        tell(
            "note: this server loses its concurrency slots on restart; start it with PREFECT_SERVER_CONCURRENCY_"
            "LEASE_STORAGE=prefect.server.concurrency.lease_storage.filesystem"
        )
    serve(project.project.root, project.config)


def set_up_automations(folder: Path) -> None:
    """Set up the server's automations as configured, for flows that a work pool runs.

    Raises:
        InputError: PREFECT_API_URL is not set, or the flows are not deployed on the server.
        StoreError: the server does not answer.
    """
    project = open_project(folder)
    from flows.server import reach_named, translate_server_errors

    reach_named()
    from flows.automations import set_up_for_pool

    with translate_server_errors():
        set_up_for_pool(project.config)


def ask_for_cycle(folder: Path, again: str | None) -> dict[str, Any]:
    """Request a run of the served learning flow, and return it.

    Raises:
        InputError: PREFECT_API_URL is not set, the flow is not served, or there is no such experience.
        StoreError: the server does not answer.
    """
    project = open_project(folder)
    known = [experience.id for experience in project.stores.experiences.all()]
    if again is not None and again not in known:
        raise InputError(f"no experience '{again}'; there are: {', '.join(known) or 'none'}")
    from flows.run_requests import request
    from flows.server import translate_server_errors

    with translate_server_errors():
        run = request(project.project.root, again)
    return {"id": str(run.id), "name": run.name, "state": run.state.name if run.state else "Scheduled"}
