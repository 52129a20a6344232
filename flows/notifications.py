"""Notices go out through a plain webhook and a Prefect block; one that cannot be delivered stops nothing."""

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


def tell(bounds: NotificationSettings, notice: Notice | None) -> None:
    """Deliver a notice from within a flow, if its kind is wanted and somebody is named."""
    if notice is not None and notice.about in bounds.about and (bounds.webhook or bounds.block):
        deliver.with_options(task_run_name=f"notify of {notice.about}")(bounds, notice, return_state=True)


def tell_refused(project: ProjectFolder, config: Config) -> None:
    """Tell, from within a flow, of batches that were left out because they cannot be read; of each of them once."""
    news = [one for one in read_rejected(project) if is_new(project, f"refused {one.key}")]
    if news:
        tell(config.triggers.notify, rejected_batches_notice(config.name, news))
    for one in news:
        remember_notified(project, f"refused {one.key}")


def tell_moved(project: ProjectFolder, config: Config, ledger: Ledger) -> None:
    """Tell, from within a flow, of each alias that was found moved by hand, the last time that it was; once."""
    found = [one for one in ledger.entries(config.name) if one.action == "alias_moved" and one.state != "intent"]
    for alias, entry in {one.alias: one for one in found}.items():
        key, saying = f"alias {alias} moved", str(entry.sequence)
        if is_new(project, key, saying):
            tell(config.triggers.notify, alias_notice(config.name, entry))
            remember_notified(project, key, saying)


@task(name="notify", retries=2, retry_delay_seconds=[1, 5], cache_policy=NO_CACHE, tags={"perennial"})
def deliver(bounds: NotificationSettings, notice: Notice) -> None:
    """Send a notice to everyone who is named; repeated as a whole, so that it may come twice, not never.

    Raises:
        StoreError: somebody could not be reached.
    """
    send(bounds, notice)


def send(bounds: NotificationSettings, notice: Notice) -> None:
    """Send a notice once.

    Raises:
        ConfigError: the environment variable of the webhook is not set, or there is no such block.
        StoreError: the receiver could not be reached or refused.
    """
    if bounds.webhook:
        post(bounds, notice)
    if bounds.block:
        through_block(bounds.block, notice)


def through_block(slug: str, notice: Notice) -> None:
    """Send a notice through a notification block of the server.

    What a block raises holds its URL, and with it a token, which must not come into states and logs.

    Raises:
        ConfigError: there is no block of that name.
        StoreError: it could not deliver the notice.
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
        ConfigError: there is none of that name.
    """
    try:
        return Block.load(slug, _sync=True)  # type: ignore[call-arg]
    except ValueError as error:
        told = str(error).splitlines()[0]
        raise ConfigError(f"triggers.notify.block: no block '{slug}' on this server ({told})") from None


def tell_failure(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Tell that a run failed or crashed, as a hook of the flow; the block is told by the server's automation.

    A failure that stays is met again at every look: it is told once, until it says something else or a run succeeds.
    """
    project = find_project(Path(flow_run.parameters["project"]))
    config = configuration.load(project.config)
    bounds = config.triggers.notify.model_copy(update={"block": None})
    message = state.message or state.name or ""
    notice = failure_notice(config.name, f"{flow.name} ({flow_run.name})", message)
    if bounds.webhook and "failure" in bounds.about:
        try:
            notify_once(project, _failure(flow.name), lambda: send(bounds, notice), saying=message)
        except (ConfigError, StoreError) as error:
            get_logger("perennial").warning("failure not told: %s", error)


def succeeded(project: ProjectFolder, flow: str) -> None:
    """Let the next failure of a flow be told, even one that was told before."""
    forget_notified(project, _failure(flow))


def _failure(flow: str) -> str:
    return f"failure of {flow}"
