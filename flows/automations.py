"""Automations of the Prefect server: alarms start runs, silent runs are declared dead, failures are reported.

Only a permanent server (`prefect server start`) evaluates events; the temporary local one does not.
"""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

from prefect.automations import Automation
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import DeploymentEventTrigger
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from cl.config import Config
from cl.errors import InputError
from cl.monitoring.triggers import EVENTS
from flows.notifications import notification_block

HEARTBEAT = 30
AGAIN = timedelta(hours=1)
"""Time until failures of runs of the same name are reported again."""
SILENCE = timedelta(seconds=75)
"""Two heartbeats may be late; the third would be too late."""
ENDS = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed", "Suspended")}
OURS = {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.perennial"}


def stream_resource(model: str) -> str:
    """Return the resource id of a model's events."""
    return f"cl.stream.{model}"


def learning_trigger(config: Config) -> DeploymentEventTrigger:
    """Return the trigger of the learning deployment: an event that asks for a cycle starts a run."""
    return DeploymentEventTrigger(
        name=learning_name(config.name),
        description="An event of the watch flow starts a run of the learning flow",
        expect={EVENTS[reason] for reason in config.triggers.learn_on},
        match={"prefect.resource.id": stream_resource(config.name)},
        parameters={"reason": "{{ event.event }}", "cycle": "{{ event.payload.cycle }}"},
    )


def learning_name(model: str) -> str:
    """Return the name of the automation that starts a model's learning flow."""
    return f"perennial: {model} learns"


def dead_run_automation() -> Automation:
    """Return the automation that declares a run crashed when its heartbeats stop."""
    heartbeat = "prefect.flow-run.heartbeat"
    return Automation(
        name="perennial: dead runs",
        description=f"A run without a heartbeat for {SILENCE.seconds} seconds is declared crashed and frees its slot",
        trigger=EventTrigger(
            after={"prefect.flow-run.Pending", heartbeat},
            expect={heartbeat, *ENDS},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=OURS,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message="no heartbeat: its machine died")],
    )


def failure_automation(config: Config) -> Automation | None:
    """Return the automation that reports failed and crashed runs through the configured block, or None."""
    bounds = config.triggers.notify
    if bounds.block is None or "failure" not in bounds.about:
        return None
    block = notification_block(bounds.block)
    model = {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{config.name}"}
    return Automation(
        name=failures_name(config.name),
        description="Reports failed and crashed runs through a block, at most once an hour for runs of the same name",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related=model,
            for_each={"prefect.resource.name"},
            posture=Posture.Reactive,
            threshold=1,
            within=AGAIN,  # a lasting failure recurs at every drift check
        ),
        actions=[
            SendNotification(
                block_document_id=block._block_document_id,
                subject=f"{config.name}: {{{{ flow_run.name }}}} failed",
                body=f"{config.name}: {{{{ flow_run.name }}}} failed\n{{{{ flow_run.state.message }}}}",
            )
        ],
    )


def failures_name(model: str) -> str:
    """Return the name of the automation that reports a model's failures."""
    return f"perennial: {model} failures"


def sync_automations(config: Config) -> None:
    """Synchronise the server's automations with the configuration, before this machine serves the flows.

    A served learning deployment brings its own trigger; one left over from a work pool would start a second run.
    """
    replace(dead_run_automation().name, dead_run_automation())
    replace(failures_name(config.name), failure_automation(config))
    replace(learning_name(config.name), None)


def set_up_for_pool(config: Config) -> None:
    """Synchronise the server's automations with the configuration, for flows that a work pool runs.

    Raises:
        InputError: the learning flow is not deployed yet.
    """
    wanted = pool_trigger(config) if config.triggers.learn_on else None
    replace(dead_run_automation().name, dead_run_automation())
    replace(failures_name(config.name), failure_automation(config))
    replace(learning_name(config.name), wanted)


def pool_trigger(config: Config) -> AutomationCore:
    """Return the trigger of a deployed learning flow as an automation.

    The deployment does not own it: `prefect deploy` deletes the automations that a deployment owns.

    Raises:
        InputError: the flow is not deployed.
    """
    name = f"learn/{config.name}"
    with get_client(sync_client=True) as client:
        try:
            deployment = client.read_deployment_by_name(name)
        except ObjectNotFound:
            raise InputError(f"'{name}' is not deployed on this server; run `prefect deploy --all` first") from None
    trigger = learning_trigger(config)
    trigger.set_deployment_id(deployment.id)
    return trigger.as_automation()


def replace(name: str, wanted: AutomationCore | None) -> None:
    """Make an automation the only one of its name, or delete all of that name if it is None.

    An unchanged automation is kept: replacing it would forget which runs it waits for.
    """
    core = wanted and _with_digest(wanted)
    with get_client(sync_client=True) as client:
        existing = client.read_automations_by_name(name)
        kept = next(
            (
                automation
                for automation in existing
                if core and automation.enabled and automation.description == core.description
            ),
            None,
        )
        for automation in existing:
            if automation is not kept:
                client.delete_automation(automation.id)
        if core and kept is None:
            client.create_automation(core)


def _with_digest(automation: AutomationCore) -> AutomationCore:
    """Return a copy of an automation with a digest of its content in its description."""
    content = automation.model_dump(exclude={"id": True, "owner_resource": True, "trigger": {"id"}})
    text = json.dumps(
        content, sort_keys=True, default=lambda value: sorted(value) if isinstance(value, set) else str(value)
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    description = f"{automation.description} [{digest}]"
    return AutomationCore(**automation.model_dump(exclude={"id", "owner_resource"}) | {"description": description})
