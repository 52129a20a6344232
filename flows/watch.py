"""The look as a flow: what has arrived, has it drifted, and an event where a cycle is asked for. It never trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.events import emit_event
from prefect.runtime import deployment, flow_run

from cl import config as configuration
from cl.config import Config
from cl.errors import BusyError
from cl.monitoring.notices import alarm_notice, stopped_canary_notice, traffic_notice
from cl.monitoring.notified import notify_once
from cl.monitoring.triggers import DriftCheck, TrafficCheck, attempts_exhausted, next_trigger
from cl.stores.ledger import state
from cl.stores.project_folder import find_project
from cl.stores.stores import open_stores
from flows.approval import end_answered
from flows.artifacts import show_look, show_traffic
from flows.automations import stream
from flows.notifications import succeeded, tell, tell_failure, tell_moved, tell_refused
from flows.run_requests import absorb, asked_for
from flows.stage_tasks import as_task


def _run_name() -> str:
    return f"watch {Path(flow_run.parameters['project']).name}"


@flow(name="watch", flow_run_name=_run_name, persist_result=False, on_failure=[tell_failure], on_crashed=[tell_failure])
def watch(project: str) -> list[dict[str, Any]]:
    """Look at what waits and return what was seen, as JSON; while a cycle works there is nothing to see.

    Args:
        project: the project's folder.
    """
    from cl.monitoring.traffic import watch_traffic
    from cl.monitoring.watch import watch as look_around  # torch, late: whoever only deploys this flow does without

    place = find_project(Path(project))
    config = configuration.load(place.config)
    if deployment.id:
        absorb("watch", config.name, flow_run.id)
    try:
        looks = look_around(place, executor=as_task(config.triggers))
        served = watch_traffic(place)
    except BusyError as busy:
        get_run_logger().info("%s", busy)
        return []
    finally:
        tell_refused(place, config)  # by whichever run it was that found them: a cycle may go on for hours
    stores = open_stores(place, config)

    def explain(look: DriftCheck) -> None:
        get_run_logger().info("%s: %s", look.experience.id, look.event)
        show_look(config, stores, look)
        tell(config.triggers.notify, alarm_notice(config.name, look.cycle, look.champion, look.drift))
        if look.drift.drifted and look.asks not in config.triggers.learn_on:
            emit(config.name, look, first=look)

    def give_up(look: DriftCheck) -> None:
        notice = stopped_canary_notice(config.name, look, config.triggers.attempts)
        get_run_logger().warning("%s", notice.title)
        tell(config.triggers.notify, notice)

    def explain_traffic(look: TrafficCheck) -> None:
        get_run_logger().info("%s: %d rows, %s", look.id, look.rows, "alarm" if look.drift.drifted else "quiet")
        show_traffic(config, stores, look)
        tell(config.triggers.notify, traffic_notice(config.name, look))
        if look.drift.drifted:
            emit_traffic(config, look)

    if served is not None:
        notify_once(place, served.id, lambda: explain_traffic(served))
    for look in looks:
        notify_once(place, f"look {look.cycle}", lambda look=look: explain(look))  # type: ignore[misc]
    asked = asked_for(config.name)
    if (stuck := attempts_exhausted(looks, asked, config.triggers)) is not None:
        notify_once(place, f"given up {stuck.cycle}", lambda: give_up(stuck))
    if (wanted := next_trigger(looks, asked, config.triggers)) is not None:
        emit(config.name, wanted, first=looks[0])
    tell_moved(place, config, stores.ledger)
    if deployment.id:
        end_answered(config.name, state.pending_approval(stores.ledger.entries(config.name)))
    succeeded(place, "watch")
    return [look.model_dump(mode="json") for look in looks]


def emit(model: str, look: DriftCheck, *, first: DriftCheck) -> None:
    """Emit the event that a look is; automations do the rest.

    Its cycle is that of the oldest look, as a run begins with it whatever it was asked for: a run that fails has
    failed there.
    """
    payload = {
        "cycle": first.cycle,
        "experience": look.experience.id,
        "champion": look.champion,
        "alarms": [one.detector for one in look.drift.findings if one.drifted],
    }
    emit_event(look.event, resource={"prefect.resource.id": stream(model)}, payload=payload)
    get_run_logger().info("%s: %s", look.event, look.experience.id)


def emit_traffic(config: Config, look: TrafficCheck) -> None:
    """Emit the event that an alarm on answers without labels is.

    It is about the stream, so that the learning flow starts, only where that is asked for: without a labelled row there
    is nothing to learn.
    """
    learns = config.drift.traffic.answer == "learn"
    payload = {
        "cycle": "",
        "experience": look.id,
        "champion": look.champion,
        "alarms": [one.detector for one in look.drift.findings if one.drifted],
    }
    resource = stream(config.name) if learns else f"cl.monitoring.traffic.{config.name}"
    emit_event(look.event, resource={"prefect.resource.id": resource}, payload=payload)
    get_run_logger().info("%s: %s", look.event, look.id)
