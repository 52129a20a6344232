"""Runs of the learning flow on the server: who waits, who works, and one more when it is asked for."""

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
    StateType.PENDING: "waiting",  # about to begin: it has looked at nothing yet
    StateType.RUNNING: "working",
    StateType.CANCELLING: "working",
    StateType.FAILED: "failed",
    StateType.CRASHED: "failed",
}


def asked_for(model: str) -> list[RequestedRun]:
    """Return the recent runs of a model's learning flow that were due, the newest first."""
    return [_asked(run) for run in _due_runs("learn", model, FlowRunFilter())]


def request(folder: Path, again: str | None) -> FlowRun:
    """Return the run that will do what is asked for: one that waits already, or a new one.

    Raises:
        InputError: no server is named, or nothing is served under the model's name.
        StoreError: the server does not answer.
    """
    reach_named()
    project = find_project(folder)
    config = configuration.load(project.config)
    asked = asked_for(config.name)
    waiting = next((one for one in asked if one.state == "waiting" and one.again == again), None)
    if waiting is not None:
        with get_client(sync_client=True) as client:
            return client.read_flow_run(UUID(waiting.id))
    key = f"{config.name}: {request_key(asked, again)}"
    run = _started(config.name, again, key)
    while run.state and run.state.is_final():  # it was asked for before and has ended since: that is not this request
        key = f"{key}, after {run.id}"
        run = _started(config.name, again, key)
    return run


def absorb(flow: str, model: str, run: UUID, *, again: str | None = None) -> int:
    """Cancel what waits beside a run that does it all: it was asked for before this run has looked; return how many.

    So a schedule that was missed many times runs once, and what was asked for during a cycle runs once after it.

    Args:
        flow: the flow whose runs wait.
        model: the name that it is served under.
        run: the run that begins.
        again: the one experience that it does, if it does not do all.
    """
    beside = _due_runs(flow, model, FlowRunFilter(id=FlowRunFilterId(not_any_=[run])))
    due = [one for one in beside if one.state and one.state.type == StateType.SCHEDULED]
    queued = [_asked(one) for one in due if not _only_answers(one)]
    done = absorbed_requests(queued, again)
    with get_client(sync_client=True) as client:
        for one in done:
            state: State[Any] = Cancelled(name="Absorbed", message=f"done by run {run}")
            client.set_flow_run_state(UUID(one.id), state, force=True)
    return len(done)


def _started(model: str, again: str | None, key: str) -> FlowRun:
    try:
        run = run_deployment(
            f"learn/{model}", parameters={"again": again}, timeout=0, idempotency_key=key, as_subflow=False
        )
    except ObjectNotFound:
        raise InputError(f"nothing is served for '{model}'; run `cl schedule` on the machine that learns") from None
    assert isinstance(run, FlowRun)
    return run


def _asked(run: FlowRun) -> RequestedRun:
    return RequestedRun(
        id=str(run.id),
        cycle=run.parameters.get("cycle"),
        again=run.parameters.get("again"),
        state="ended" if _only_answers(run) else STATES.get(run.state.type, "ended") if run.state else "waiting",
    )


def _only_answers(run: FlowRun) -> bool:
    """Tell whether a run was suspended for a person's answer: it writes that down and takes nothing else."""
    return suspended_for_person(run.empirical_policy.pause_keys)


def _due_runs(flow: str, model: str, which: FlowRunFilter) -> list[FlowRun]:
    due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + SOON)  # type: ignore[arg-type]
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[model])),
            flow_run_filter=which.model_copy(update={"expected_start_time": due}),
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=RECENT,
        )
