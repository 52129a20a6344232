"""A stage of the library as a Prefect task: named, tagged, timed, and repeated where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from cl.config import TriggerSettings
from cl.errors import ConflictError, IntegrityError, StoreError

if TYPE_CHECKING:
    from cl.stores.journal import Executor

REPEATABLE = {"detect_drift", "evaluate", "register", "smoke_test", "promote"}
"""Stages that talk to a store and may do it again; training talks to none, and costs too much to be tried twice."""
PAUSES = [5.0, 30.0, 120.0]


def as_task(bounds: TriggerSettings) -> Executor:
    """Return what makes a Prefect task of a stage.

    Prefect caches nothing here: the journal of the cycle does, for both executors alike.
    """
    seconds = bounds.stage_hours and bounds.stage_hours * 3600

    def made(stage: Callable[..., Any]) -> Callable[..., Any]:
        repeated = stage.__name__ in REPEATABLE
        return task(
            name=stage.__name__,
            cache_policy=NO_CACHE,
            persist_result=False,
            tags={"perennial"},
            timeout_seconds=seconds,
            retries=len(PAUSES) if repeated else 0,
            retry_delay_seconds=PAUSES,
            retry_condition_fn=may_pass,
        )(stage)

    return made


def may_pass(stage: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Tell whether a failure may pass by itself: a store out of reach, not one that says no."""
    try:
        state.result()
    except StoreError as error:
        return not isinstance(error, ConflictError | IntegrityError)
    except Exception:
        return False
    return False
