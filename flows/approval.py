"""A run that waits for a person: suspended, without a process, a slot or a lock, until somebody answers.

The cycle has ended and is recorded before; what is resumed has nothing left to do but to write down the answer. Who
answers with `cl approve` or `cl reject` instead ends the suspended run: the ledger lets one answer in.
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
from cl.promotion.alias_moves import current_actor
from cl.promotion.approval import record_decision
from cl.records import Cycle, LedgerEntry
from cl.stores.ledger import state
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from flows.artifacts import cycle_text
from flows.notifications import tell

KEY = "approval-"
LONGEST_NAME = 80


class Approval(RunInput):
    """What Prefect's page asks of the person who resumes the run."""

    approve: bool = Field(description="Whether the version may serve; no rejects it")
    why: str = Field("", description="The reason, kept in the ledger")
    who: str = Field("", description="Your name, kept in the ledger")


def await_person(config: Config, stores: Stores, cycles: list[Cycle]) -> None:
    """Suspend this run if a version of its cycles waits for a person; it ends here, and is run anew with the answer."""
    asked = state.pending_approval(stores.ledger.entries(config.name))
    end_answered(config.name, asked)
    cycle = next((one for one in cycles if asked and one.promotion and one.promotion.version == asked.to_version), None)
    if asked is not None and cycle is not None:
        get_run_logger().info("version %s waits for a person", asked.to_version)
        form = Approval.with_initial_data(description=cycle_text(config, cycle))
        suspend_flow_run(wait_for_input=form, key=f"{KEY}{asked.to_version}")


def answered(run: UUID) -> tuple[str, Approval] | None:
    """Return the version that this run was suspended for and the answer; None where it was not."""
    prefix, end = f"suspended-{KEY}", "-response"
    found = cast(list[FlowRunInput], filter_flow_run_input(key_prefix=prefix, limit=20, flow_run_id=run))
    replies = [one for one in found if one.key.endswith(end)]
    if not replies:
        return None
    return replies[-1].key.removeprefix(prefix).removesuffix(end), Approval(**json.loads(replies[-1].value))


def decide(project: ProjectFolder, config: Config, version: str, word: Approval) -> dict[str, Any]:
    """Write down the answer that the page got and return the ledger's entry as JSON.

    Raises:
        ConflictError: somebody else was first, or the champion has moved; nothing is changed.
    """
    me = f"{word.who.strip()[:LONGEST_NAME] or 'somebody'} on Prefect's page, {current_actor()}"
    why = word.why if word.approve else word.why.strip() or "no reason was given"
    wait = config.triggers.wait_minutes * 60
    entry = record_decision(project, version, yes=word.approve, why=why, actor=me, wait=wait)
    get_run_logger().info("version %s: %s by %s", version, entry.action, me)
    tell(config.triggers.notify, answer_notice(config.name, entry))
    return entry.model_dump(mode="json")


def end_answered(model: str, asked: LedgerEntry | None) -> int:
    """End the suspended runs whose version does not wait any more, and return how many: it was decided elsewhere.

    Args:
        model: the name that the learning flow is served under.
        asked: what waits now.
    """
    paused = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])))
    named = DeploymentFilter(name=DeploymentFilterName(any_=[model]))
    current = f"{KEY}{asked.to_version}" if asked else None
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=paused, deployment_filter=named)
        keys = {run.id: (run.state and run.state.state_details.pause_key) or "" for run in runs}
        over = [id for id, key in keys.items() if key.startswith(KEY) and key != current]
        for id in over:
            said = f"version {keys[id].removeprefix(KEY)} was decided elsewhere; `cl audit` says by whom"
            client.set_flow_run_state(id, Completed(name="Decided", message=said), force=True)
    return len(over)


def suspended_for_person(pause_keys: set[str] | None) -> bool:
    """Tell by the keys of its pauses whether a run was suspended here: it takes no experience any more."""
    return any(key.startswith(KEY) for key in pause_keys or ())
