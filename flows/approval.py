"""Suspend a run until a person approves or rejects a version; meanwhile it holds no process, slot or lock.

The cycle has ended and is recorded before, so the resumed run only records the decision. `cl approve` or `cl reject`
ends the suspended run instead, as the ledger accepts one decision.
"""

from __future__ import annotations

import json
from typing import Any, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRunInput, StateType
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.input.actions import filter_flow_run_input
from prefect.states import Completed
from pydantic import Field

from cl.config import Config
from cl.monitoring.notices import answer_notice
from cl.promotion.approval import record_decision
from cl.records import Cycle, LedgerEntry
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from flows.artifacts import cycle_text
from flows.notifications import notify

KEY = "approval-"
LONGEST_NAME = 80


class Approval(RunInput):
    """The form that Prefect shows to the person who resumes the run."""

    approve: bool = Field(description="Whether to promote the version; no rejects it")
    why: str = Field("", description="The reason, kept in the ledger")
    who: str = Field("", description="Your name, kept in the ledger")


def await_person(config: Config, stores: Stores, cycles: list[Cycle]) -> None:
    """Suspend this run if a version of its cycles awaits approval; it ends here and is run again with the decision."""
    pending = state.pending_approval(stores.ledger.entries(config.name))
    end_answered(config.name, pending)
    cycle = next(
        (cycle for cycle in cycles if pending and cycle.promotion and cycle.promotion.version == pending.to_version),
        None,
    )
    if pending is not None and cycle is not None:
        get_run_logger().info("version %s awaits approval", pending.to_version)
        form = Approval.with_initial_data(description=cycle_text(config, cycle))
        suspend_flow_run(wait_for_input=form, key=f"{KEY}{pending.to_version}")


def answered(run: UUID) -> tuple[str, Approval] | None:
    """Return the version that this run was suspended for and the decision, or None if it was not suspended."""
    prefix, end = f"suspended-{KEY}", "-response"
    inputs = cast(list[FlowRunInput], filter_flow_run_input(key_prefix=prefix, limit=20, flow_run_id=run))
    replies = [reply for reply in inputs if reply.key.endswith(end)]
    if not replies:
        return None
    return replies[-1].key.removeprefix(prefix).removesuffix(end), Approval(**json.loads(replies[-1].value))


def decide(project: ProjectFolder, config: Config, version: str, approval: Approval) -> dict[str, Any]:
    """Record the decision made in Prefect's UI and return the ledger entry as JSON.

    Raises:
        ConflictError: the version was already decided, or the champion has changed; nothing is recorded.
    """
    actor = f"{approval.who.strip()[:LONGEST_NAME] or 'somebody'} on Prefect's page, {current_actor()}"
    why = approval.why if approval.approve else approval.why.strip() or "no reason was given"
    wait = config.triggers.wait_minutes * 60
    entry = record_decision(project, version, yes=approval.approve, why=why, actor=actor, wait=wait)
    get_run_logger().info("version %s: %s by %s", version, entry.action, actor)
    notify(config.triggers.notify, answer_notice(config.name, entry))
    return entry.model_dump(mode="json")


def end_answered(model: str, pending: LedgerEntry | None) -> int:
    """End the suspended runs whose version was decided elsewhere and return how many were ended.

    Args:
        model: the name that the learning flow is served under.
        pending: the ledger entry that awaits approval now.
    """
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    of_model = DeploymentFilter(name=DeploymentFilterName(any_=[model]))
    current = f"{KEY}{pending.to_version}" if pending else None
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=paused, deployment_filter=of_model)
        keys = {run.id: (run.state and run.state.state_details.pause_key) or "" for run in runs}
        stale = [id for id, key in keys.items() if key.startswith(KEY) and key != current]
        for id in stale:
            message = f"version {keys[id].removeprefix(KEY)} was decided elsewhere; see `cl audit` for who decided"
            client.set_flow_run_state(id, Completed(name="Decided", message=message), force=True)
    return len(stale)


def suspended_for_person(pause_keys: set[str] | None) -> bool:
    """Return whether a run with these pause keys was suspended for approval: it processes no more experiences."""
    return any(key.startswith(KEY) for key in pause_keys or ())
