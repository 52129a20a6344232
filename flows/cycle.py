"""The cycle as a Prefect flow: the library's order, Prefect's runs, tasks, retries and UI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from cl import lifecycle
from cl.records import Cycle
from cl.stores.local import open_project


def as_task(stage: Callable[..., Any]) -> Callable[..., Any]:
    """Make a Prefect task of a stage.

    Prefect caches nothing here: the journal of the cycle does, for both executors alike.
    """
    return task(name=stage.__name__, cache_policy=NO_CACHE, persist_result=False, tags={"perennial"})(stage)


def _run_name() -> str:
    """Name a flow run for the project's folder, without the path before it."""
    return f"learn {Path(flow_run.parameters['project']).name}"


@flow(name="learn", flow_run_name=_run_name, persist_result=False)
def learn(project: str, again: str | None = None) -> list[dict[str, Any]]:
    """Run one cycle for each experience that waits and return the cycles as JSON.

    Args:
        project: the project's folder.
        again: id of an experience to be tried once more.
    """

    def tell(cycle: Cycle) -> None:
        get_run_logger().info("%s: %s", cycle.experience.id, cycle.verdict)
        create_markdown_artifact(_as_markdown(cycle), key="cycle", description=cycle.experience.id)

    cycles = lifecycle.learn(open_project(Path(project)), again=again, step=as_task, on_cycle=tell)
    return [cycle.model_dump(mode="json") for cycle in cycles]


def _as_markdown(cycle: Cycle) -> str:
    lines = [
        f"# {cycle.experience.id}: {cycle.verdict}",
        *(f"- {reason}" for reason in cycle.decision.reasons),
        *(f"- {verdict.gate}: {verdict.why}" for verdict in (cycle.gates.verdicts if cycle.gates else [])),
        f"- champion: version {cycle.champion_after}",
    ]
    return "\n".join(lines)
