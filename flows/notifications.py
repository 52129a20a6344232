"""Deliver notices through a plain webhook and a Prefect block; a failed delivery stops nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging import get_logger

from cl import config as configuration
from cl.config import Config, NotificationSettings
from cl.errors import ConfigError, StoreError
from cl.monitoring.notices import Notice, alias_notice, failure_notice, rejected_batches_notice
from cl.monitoring.notified import forget_notified, is_new, notify_once, remember_notified
from cl.monitoring.webhook import post
from cl.stores.data.rejected_batches import read_rejected
from cl.stores.ledger.ledger import Ledger
from cl.stores.project_folder import ProjectFolder, find_project


def notify(bounds: NotificationSettings, notice: Notice | None) -> None:
    """Deliver a notice from within a flow, if its kind is wanted and a receiver is configured."""
    if notice is not None and notice.about in bounds.about and (bounds.webhook or bounds.block):
        deliver.with_options(task_run_name=f"notify of {notice.about}")(bounds, notice, return_state=True)


def notify_rejected(project: ProjectFolder, config: Config) -> None:
    """Report from within a flow the batches skipped as unreadable, each of them once."""
    new_batches = [batch for batch in read_rejected(project) if is_new(project, f"refused {batch.key}")]
    if new_batches:
        notify(config.triggers.notify, rejected_batches_notice(config.name, new_batches))
    for batch in new_batches:
        remember_notified(project, f"refused {batch.key}")


def notify_moved_aliases(project: ProjectFolder, config: Config, ledger: Ledger) -> None:
    """Report from within a flow the last manual move of each alias, once."""
    moves = [
        entry for entry in ledger.entries(config.name) if entry.action == "alias_moved" and entry.state != "intent"
    ]
    for alias, entry in {entry.alias: entry for entry in moves}.items():
        key, saying = f"alias {alias} moved", str(entry.sequence)
        if is_new(project, key, saying):
            notify(config.triggers.notify, alias_notice(config.name, entry))
            remember_notified(project, key, saying)


@task(name="notify", retries=2, retry_delay_seconds=[1, 5], cache_policy=NO_CACHE, tags={"perennial"})
def deliver(bounds: NotificationSettings, notice: Notice) -> None:
    """Send a notice to all configured receivers; retries repeat all of them, so a notice may arrive twice.

    Raises:
        StoreError: a receiver could not be reached.
    """
    send(bounds, notice)


def send(bounds: NotificationSettings, notice: Notice) -> None:
    """Send a notice without retries.

    Raises:
        ConfigError: the webhook's environment variable is not set, or the block does not exist.
        StoreError: the receiver could not be reached or refused the notice.
    """
    if bounds.webhook:
        post(bounds, notice)
    if bounds.block:
        through_block(bounds.block, notice)


def through_block(slug: str, notice: Notice) -> None:
    """Send a notice through a notification block of the server.

    Errors of a block contain its URL and thereby a token, which must not reach states and logs.

    Raises:
        ConfigError: no block has that name.
        StoreError: the block could not deliver the notice.
    """
    block = notification_block(slug)
    try:
        with block.raise_on_failure():
            block.notify(notice.text, notice.title)
    except Exception as error:
        raise StoreError(f"triggers.notify.block: '{slug}' could not deliver: {type(error).__name__}") from None


def notification_block(slug: str) -> Any:
    """Return a notification block of the server.

    Raises:
        ConfigError: no block has that name.
    """
    try:
        return Block.load(slug, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"triggers.notify.block: no block '{slug}' on this server ({reason})") from None


def notify_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Report a failed or crashed run through the webhook, as a hook of the flow.

    The server's automation notifies the block. A lasting failure recurs at every drift check, so it is reported once,
    until its message changes or a run succeeds.
    """
    project = find_project(Path(flow_run.parameters["project"]))
    config = configuration.load(project.config)
    bounds = config.triggers.notify.model_copy(update={"block": None})
    message = state.message or state.name or ""
    notice = failure_notice(config.name, f"{flow.name} ({flow_run.name})", message)
    if bounds.webhook and "failure" in bounds.about:
        try:
            notify_once(project, _failure_key(flow.name), lambda: send(bounds, notice), saying=message)
        except (ConfigError, StoreError) as error:
            get_logger("perennial").warning("the failure could not be reported: %s", error)


def forget_failure(project: ProjectFolder, flow: str) -> None:
    """Let the next failure of a flow be reported, even if it was reported before."""
    forget_notified(project, _failure_key(flow))


def _failure_key(flow: str) -> str:
    return f"failure of {flow}"
