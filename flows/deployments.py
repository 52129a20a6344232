"""The deployments of a project: the learning flow and the watch flow, served on this machine by `cl schedule`."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import serve as serve_runs
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.schedules import Cron, Interval
from prefect.types.entrypoint import EntrypointType

from cl.config import Config
from cl.monitoring.webhook import webhook_url
from flows.automations import HEARTBEAT, learning_trigger, sync_automations
from flows.cycle import learn
from flows.server import await_server, is_unreachable, to_store_error
from flows.watch import watch

log = logging.getLogger(__name__)

STARTING = 90
"""Seconds for which a run that has not begun keeps its slot; Prefect's default of 300 is too long for a dead run."""


def learning_deployment(root: Path, config: Config) -> RunnerDeployment:
    """Return the deployment of the learning flow: started by cron, by events or by hand, one run at a time."""
    bounds = config.triggers
    cron = bounds.cron and Cron(bounds.cron, timezone=bounds.timezone, parameters={"reason": "schedule"})
    return _deployment(
        learn,
        root,
        config,
        schedules=[cron] if cron else [],
        concurrency_limit=ConcurrencyLimitConfig(limit=1, grace_period_seconds=STARTING),
        triggers=[learning_trigger(config)] if bounds.learn_on else [],
        description="Runs a cycle for each waiting experience: drift, decide, train, evaluate, gate, promote.",
    )


def watch_deployment(root: Path, config: Config) -> RunnerDeployment:
    """Return the deployment of the watch flow; a run that is due while another one works is skipped."""
    return _deployment(
        watch,
        root,
        config,
        schedules=[Interval(timedelta(minutes=config.triggers.watch_minutes))],
        concurrency_limit=ConcurrencyLimitConfig(
            limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW, grace_period_seconds=STARTING
        ),
        description="Reads the source, checks waiting experiences for drift and requests a cycle; never trains.",
    )


def serve(root: Path, config: Config) -> None:
    """Serve both deployments until interrupted; wait for a server that becomes unreachable.

    Raises:
        ConfigError: the webhook variable or the block is invalid.
        StoreError: the server rejects the deployments.
    """
    if config.triggers.notify.webhook:
        webhook_url(config.triggers.notify)
    while True:
        deployments = [learning_deployment(root, config), watch_deployment(root, config)]
        try:
            sync_automations(config)
            # a clean stop must not pause schedules: one run then makes up for the missed ones
            serve_runs(*deployments, pause_on_shutdown=False, print_starting_message=False, heartbeat_seconds=HEARTBEAT)
            return
        except Exception as error:
            if not is_unreachable(error):
                raise to_store_error(error) or error from None
            log.warning("the Prefect server is unreachable; serving resumes when it answers")
        await_server()


def _deployment(flow: Any, root: Path, config: Config, **options: Any) -> RunnerDeployment:
    result: RunnerDeployment = flow.to_deployment(
        name=config.name,
        parameters={"project": str(root)},
        tags=["perennial", config.name],
        entrypoint_type=EntrypointType.MODULE_PATH,
        **options,
    )
    return result
