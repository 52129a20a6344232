"""The cycle as a Prefect flow: the library's order, Prefect's runs, tasks, retries and UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import deployment, flow_run

from cl import config as configuration
from cl.monitoring.notices import alarm_notice, cycle_notice
from cl.monitoring.notified import notify_once
from cl.monitoring.triggers import findings_of
from cl.records import Cycle
from cl.stores.project_folder import find_project
from cl.stores.stores import open_stores
from flows.approval import answered, await_person, decide
from flows.artifacts import show_cycle, show_look
from flows.notifications import succeeded, tell, tell_failure, tell_moved, tell_refused
from flows.run_requests import absorb
from flows.stage_tasks import as_task


def _run_name() -> str:
    """Name a flow run for the project's folder, without the path before it, and for what has asked for it."""
    asked = flow_run.parameters
    return f"learn {Path(asked['project']).name} ({asked.get('reason', 'by hand')})"


@flow(name="learn", flow_run_name=_run_name, persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def learn(
    project: str, again: str | None = None, cycle: str | None = None, reason: str = "by hand"
) -> list[dict[str, Any]]:
    """Run one cycle for each experience that waits and return the cycles as JSON.

    Where a person decides, a run of a deployment is then suspended; resumed, it returns the ledger's entry.

    Args:
        project: the project's folder.
        again: id of an experience to be tried once more.
        cycle: identity of the cycle that it begins with, by which an automation's run is found again.
        reason: what has asked for it.
    """
    place = find_project(Path(project))
    config = configuration.load(place.config)
    stores, bounds = open_stores(place, config), config.triggers
    unattended: dict[str, Any] = {}
    if deployment.id:
        if (reply := answered(flow_run.id)) is not None:  # resumed: its cycles have ended before
            return [decide(place, config, *reply)]
        unattended = {"wait": bounds.wait_minutes * 60, "settle": bounds.settle_seconds}
        # before torch is loaded, which takes long on a busy machine: this run has begun, and a later request is another
        absorb("learn", config.name, flow_run.id, again=again)
    from cl import lifecycle  # torch, late: whoever only deploys this flow does without

    def explain(one: Cycle) -> None:
        show_look(config, stores, findings_of(one, bounds))
        tell(bounds.notify, alarm_notice(config.name, one.id, one.champion_before, one.drift))

    def report(one: Cycle) -> None:
        get_run_logger().info("%s: %s", one.experience.id, one.verdict)
        notify_once(place, f"look {one.id}", lambda: explain(one))
        show_cycle(config, stores, one)
        tell(bounds.notify, cycle_notice(config.name, one))

    cycles = lifecycle.run_waiting(place, again=again, executor=as_task(bounds), on_cycle=report, **unattended)
    tell_moved(place, config, stores.ledger)
    if unattended:
        tell_refused(place, config)
    succeeded(place, "learn")
    if unattended:
        await_person(config, stores, cycles)
    return [one.model_dump(mode="json") for one in cycles]
