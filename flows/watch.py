"""The drift check as a flow: check new data and traffic, and emit an event that requests a cycle. It never trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.runtime import deployment, flow_run

from cl import config as configuration
from cl.config import Config
from cl.errors import BusyError
from cl.monitoring.notices import alarm_notice, exhausted_attempts_notice, traffic_notice
from cl.monitoring.notified import notify_once
from cl.monitoring.triggers import DriftCheck, TrafficCheck, attempts_exhausted, next_trigger
from cl.process.processors import wait_passively
from cl.stores.ledger import state
from cl.stores.project_folder import find_project
from cl.stores.stores import open_stores
from flows.approval import end_answered
from flows.artifacts import show_drift_check, show_traffic
from flows.automations import stream_resource
from flows.notifications import forget_failure, notify, notify_failure, notify_moved_aliases, notify_rejected
from flows.run_logs import library_logs
from flows.run_requests import absorb, recent_runs
from flows.stage_tasks import as_task


def _run_name() -> str:
    return f"watch {Path(flow_run.parameters['project']).name}"


@flow(
    name="watch",
    flow_run_name=_run_name,
    persist_result=False,
    on_failure=[notify_failure],
    on_crashed=[notify_failure],
)
def watch(project: str) -> list[dict[str, Any]]:
    """Check waiting experiences for drift and return the checks as JSON; empty while a cycle is running.

    Args:
        project: the project's folder.
    """
    wait_passively()
    from cl.monitoring.traffic import watch_traffic
    from cl.monitoring.watch import watch as check_waiting  # imports torch, which deploying this flow does not need

    project_folder = find_project(Path(project))
    config = configuration.load(project_folder.config)
    if deployment.id:
        absorb("watch", config.name, flow_run.id)
    try:
        with library_logs():
            checks = check_waiting(project_folder, executor=as_task(config.triggers))
            traffic_check = watch_traffic(project_folder)
    except BusyError as busy:
        get_run_logger().info("%s", busy)
        return []
    finally:
        notify_rejected(project_folder, config)  # whichever run detected them: a cycle may take hours
    stores = open_stores(project_folder, config)

    def explain(check: DriftCheck) -> None:
        get_run_logger().info("%s: %s", check.experience.id, check.event)
        show_drift_check(config, stores, check)
        notify(config.triggers.notify, alarm_notice(config.name, check.cycle, check.champion, check.drift))
        if check.drift.drifted and check.asks not in config.triggers.learn_on:
            emit(config.name, check, first=check)

    def give_up(check: DriftCheck) -> None:
        notice = exhausted_attempts_notice(config.name, check, config.triggers.attempts)
        get_run_logger().warning("%s", notice.title)
        notify(config.triggers.notify, notice)

    def explain_traffic(check: TrafficCheck) -> None:
        get_run_logger().info("%s: %d rows, %s", check.id, check.rows, "alarm" if check.drift.drifted else "quiet")
        show_traffic(config, stores, check)
        notify(config.triggers.notify, traffic_notice(config.name, check))
        if check.drift.drifted:
            emit_traffic(config, check)

    if traffic_check is not None:
        notify_once(project_folder, traffic_check.id, lambda: explain_traffic(traffic_check))
    for check in checks:
        notify_once(project_folder, f"drift check {check.cycle}", lambda check=check: explain(check))  # type: ignore[misc]
    runs = recent_runs(config.name)
    if (stuck := attempts_exhausted(checks, runs, config.triggers)) is not None:
        notify_once(project_folder, f"given up {stuck.cycle}", lambda: give_up(stuck))
    if (trigger := next_trigger(checks, runs, config.triggers)) is not None:
        emit(config.name, trigger, first=checks[0])
    notify_moved_aliases(project_folder, config, stores.ledger)
    if deployment.id:
        end_answered(config.name, state.pending_approval(stores.ledger.entries(config.name)))
    forget_failure(project_folder, "watch")
    return [check.model_dump(mode="json") for check in checks]


def emit(model: str, check: DriftCheck, *, first: DriftCheck) -> None:
    """Emit the event of a drift check; automations do the rest.

    Its cycle is that of the oldest check, because every run begins with that cycle: a failed run has failed there.
    """
    payload = {
        "cycle": first.cycle,
        "experience": check.experience.id,
        "champion": check.champion,
        "alarms": [finding.detector for finding in check.drift.findings if finding.drifted],
    }
    emit_event(check.event, resource={"prefect.resource.id": stream_resource(model)}, payload=payload)
    get_run_logger().info("%s: %s", check.event, check.experience.id)


def emit_traffic(config: Config, check: TrafficCheck) -> None:
    """Emit the event of an alarm on unlabelled traffic.

    Its resource is the stream, which starts the learning flow, only if that is configured: without labelled rows there
    is nothing to learn.
    """
    learns = config.drift.traffic.answer == "learn"
    payload = {
        "cycle": "",
        "experience": check.id,
        "champion": check.champion,
        "alarms": [finding.detector for finding in check.drift.findings if finding.drifted],
    }
    resource = stream_resource(config.name) if learns else f"cl.traffic.{config.name}"
    emit_event(check.event, resource={"prefect.resource.id": resource}, payload=payload)
    get_run_logger().info("%s: %s", check.event, check.id)
