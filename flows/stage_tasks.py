"""Run a stage of the library as a Prefect task: named, tagged, timed, and retried if that is safe."""

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
"""Stages that use a store and can be repeated; training uses none and is too expensive to retry."""
PAUSES = [5.0, 30.0, 120.0]


def as_task(bounds: TriggerSettings) -> Executor:
    """Return the executor that turns each stage into a Prefect task.

    Prefect caches nothing here: the journal of the cycle does, for both executors.
    """
    seconds = bounds.stage_hours and bounds.stage_hours * 3600

    def to_task(stage: Callable[..., Any]) -> Callable[..., Any]:
        repeatable = stage.__name__ in REPEATABLE
        return task(
            name=stage.__name__,
            cache_policy=NO_CACHE,
            persist_result=False,
            tags={"perennial"},
            timeout_seconds=seconds,
            retries=len(PAUSES) if repeatable else 0,
            retry_delay_seconds=PAUSES,
            retry_condition_fn=is_transient,
        )(stage)

    return to_task


def is_transient(stage: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failure may be transient: an unreachable store, as opposed to a rejected request."""
    try:
        state.result()
    except StoreError as error:
        return not isinstance(error, ConflictError | IntegrityError)
    except Exception:
        return False
    return False
