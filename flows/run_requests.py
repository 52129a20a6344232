"""Runs of the learning flow on the server: list them, request one, and cancel redundant ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from cl import config as configuration
from cl.errors import InputError
from cl.monitoring.triggers import RequestedRun, absorbed_requests, request_key
from cl.stores.project_folder import find_project
from flows.approval import suspended_for_person
from flows.server import reach_named

SOON = timedelta(seconds=15)
RECENT = 200
STATES: dict[StateType, Any] = {
    StateType.SCHEDULED: "waiting",
    StateType.PAUSED: "waiting",
    StateType.PENDING: "waiting",  # about to begin: it has checked nothing yet
    StateType.RUNNING: "working",
    StateType.CANCELLING: "working",
    StateType.FAILED: "failed",
    StateType.CRASHED: "failed",
}


def recent_runs(model: str) -> list[RequestedRun]:
    """Return the recent due runs of a model's learning flow, newest first."""
    return [_to_requested_run(run) for run in _due_runs("learn", model, FlowRunFilter())]


def request(folder: Path, again: str | None) -> FlowRun:
    """Return the run that will handle the request: one that already waits, or a new one.

    Raises:
        InputError: no server is configured, or nothing is served under the model's name.
        StoreError: the server does not answer.
    """
    reach_named()
    project = find_project(folder)
    config = configuration.load(project.config)
    runs = recent_runs(config.name)
    waiting = next((run for run in runs if run.state == "waiting" and run.again == again), None)
    if waiting is not None:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(waiting.id))
    key = f"{config.name}: {request_key(runs, again)}"
    run = _start_run(config.name, again, key)
    while run.state and run.state.is_final():  # a run of an earlier request, which has ended since
        key = f"{key}, after {run.id}"
        run = _start_run(config.name, again, key)
    return run


def absorb(flow: str, model: str, run: UUID, *, again: str | None = None) -> int:
    """Cancel the waiting runs whose work this run does, and return how many were cancelled.

    So a schedule that was missed many times runs once, and all requests made during a cycle run once after it.

    Args:
        flow: the flow whose runs wait.
        model: the name that the flow is served under.
        run: the run that begins.
        again: the one experience that the run retries, or None if it processes all.
    """
    others = _due_runs(flow, model, FlowRunFilter(id=FlowRunFilterId(not_any_=[run])))
    scheduled = [other for other in others if other.state and other.state.type == StateType.SCHEDULED]
    queued = [_to_requested_run(other) for other in scheduled if not _is_suspended_for_approval(other)]
    redundant = absorbed_requests(queued, again)
    with get_client(sync_client=True) as client:
        for other in redundant:
            state: State[Any] = Cancelled(name="Absorbed", message=f"done by run {run}")
            client.set_flow_run_state(UUID(other.id), state, force=True)
    return len(redundant)


def _start_run(model: str, again: str | None, key: str) -> FlowRun:
    try:
        run = run_deployment(
            f"learn/{model}", parameters={"again": again}, timeout=0, idempotency_key=key, as_subflow=False
        )
    except ObjectNotFound:
        raise InputError(f"nothing is served for '{model}'; run `cl schedule` on the machine that learns") from None
    assert isinstance(run, FlowRun)
    return run


def _to_requested_run(run: FlowRun) -> RequestedRun:
    return RequestedRun(
        id=str(run.id),
        cycle=run.parameters.get("cycle"),
        again=run.parameters.get("again"),
        state="ended"
        if _is_suspended_for_approval(run)
        else STATES.get(run.state.type, "ended")
        if run.state
        else "waiting",
    )


def _is_suspended_for_approval(run: FlowRun) -> bool:
    """Return whether a run was suspended for approval: it records the decision and processes nothing else."""
    return suspended_for_person(run.empirical_policy.pause_keys)


def _due_runs(flow: str, model: str, run_filter: FlowRunFilter) -> list[FlowRun]:
    due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + SOON)
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[model])),
            flow_run_filter=run_filter.model_copy(update={"expected_start_time": due}),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=RECENT,
        )
