"""The learning cycle as a Prefect flow: the library's stages with Prefect's runs, tasks, retries and UI."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.runtime import deployment, flow_run

from cl import config as configuration
from cl.monitoring.notices import alarm_notice, cycle_notice
from cl.monitoring.notified import notify_once
from cl.monitoring.triggers import drift_check_of
from cl.process.processors import wait_passively
from cl.process.progress import stage
from cl.records import Cycle
from cl.stores.project_folder import find_project
from cl.stores.stores import open_stores
from flows.approval import answered, await_person, decide
from flows.artifacts import show_cycle, show_drift_check
from flows.notifications import forget_failure, notify, notify_failure, notify_moved_aliases, notify_rejected
from flows.run_logs import library_logs
from flows.run_requests import absorb
from flows.stage_tasks import as_task


def _run_name() -> str:
    """Return the name of a flow run: the name of the project's folder and the reason for the run."""
    parameters = flow_run.parameters
    return f"learn {Path(parameters['project']).name} ({parameters.get('reason', 'by hand')})"


@flow(
    name="learn",
    flow_run_name=_run_name,
    persist_result=False,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
def learn(
    project: str, again: str | None = None, cycle: str | None = None, reason: str = "by hand"
) -> list[dict[str, Any]]:
    """Run one cycle for each waiting experience and return the cycles as JSON.

    If a version awaits approval, a deployment run is suspended afterwards; resumed, it returns the ledger entry.

    Args:
        project: the project's folder.
        again: id of an experience to retry.
        cycle: id of the first cycle, by which runs started by an automation are recognised.
        reason: what requested the run.
    """
    project_folder = find_project(Path(project))
    config = configuration.load(project_folder.config)
    stores, bounds = open_stores(project_folder, config), config.triggers
    unattended: dict[str, Any] = {}
    if deployment.id:
        if (reply := answered(flow_run.id)) is not None:  # resumed: its cycles have already ended
            return [decide(project_folder, config, *reply)]
        unattended = {"wait": bounds.wait_minutes * 60, "settle": bounds.settle_seconds}
        # before the slow import of torch: this run has begun, so a later request is a new one
        absorb("learn", config.name, flow_run.id, again=again)
    wait_passively()
    with library_logs(), nullcontext() if "cl.lifecycle" in sys.modules else stage("load libraries"):
        from cl import lifecycle  # imports torch, which deploying this flow does not need

    def explain(finished: Cycle) -> None:
        show_drift_check(config, stores, drift_check_of(finished, bounds))
        notify(bounds.notify, alarm_notice(config.name, finished.id, finished.champion_before, finished.drift))

    def report(finished: Cycle) -> None:
        get_run_logger().info("%s: %s", finished.experience.id, finished.verdict)
        notify_once(project_folder, f"drift check {finished.id}", lambda: explain(finished))
        show_cycle(config, stores, finished)
        notify(bounds.notify, cycle_notice(config.name, finished))

    executor = as_task(bounds)
    with library_logs():
        cycles = lifecycle.run_waiting(project_folder, again=again, executor=executor, on_cycle=report, **unattended)
    notify_moved_aliases(project_folder, config, stores.ledger)
    if unattended:
        notify_rejected(project_folder, config)
    forget_failure(project_folder, "learn")
    if unattended:
        await_person(config, stores, cycles)
    return [finished.model_dump(mode="json") for finished in cycles]
