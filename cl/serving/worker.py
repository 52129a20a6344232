"""One worker's parts, put together: what follows, computes, compares and counts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from cl import plugins
from cl.config import Config
from cl.monitoring.notices import Notice, failure_notice
from cl.monitoring.notified import forget_notified, notify_once
from cl.serving.auth import read_tokens
from cl.serving.batching.batcher import Batcher
from cl.serving.canary.comparison_store import ComparisonStore, serving_folder
from cl.serving.canary.paired_answers import PairedAnswers
from cl.serving.canary.stopping import StoppedCanaries, stop_reason
from cl.serving.freshness import AliasReader, FreshnessGuard
from cl.serving.graceful_shutdown import GracefulShutdown
from cl.serving.live_stats import LiveStats
from cl.serving.prediction_log import PredictionLog
from cl.serving.prometheus import Metrics
from cl.serving.registry_watcher import FailedLoad, RegistryWatcher
from cl.serving.request_handler import RequestHandler
from cl.serving.served_model import ServedModel, load_served_model
from cl.stores.sqlite_cache import SqliteCachedRead
from cl.stores.stores import Stores
from cl.tasks import Task

log = logging.getLogger(__name__)
Tell = Callable[[Notice], None]
FIRST_LOOK_SECONDS = 60.0
"""A worker takes no request before it has looked for its versions, unless the registry takes longer than this."""


class ServingWorker:
    """Everything behind the routes of one worker; begins to work with `start`.

    ``tell`` delivers a notice to people, ``withdraw`` takes the canary's alias away and is told why; both may take
    their time: they are called outside the event loop.
    """

    def __init__(
        self,
        config: Config,
        stores: Stores,
        *,
        workers: int = 1,
        tell: Tell = lambda notice: None,
        withdraw: Callable[[str], None] = lambda why: None,
    ) -> None:
        self.config, self.settings = config, config.serve
        self.tokens = read_tokens(config.serve.tokens)
        self.metrics, self.live, self.draining = Metrics(), LiveStats(), GracefulShutdown(config.serve.drain_seconds)
        self.task = plugins.build(Task, config.task)
        self._threads = config.serve.threads or max(1, (os.cpu_count() or 1) // workers)
        self._stores, self._tell, self._withdraw = stores, tell, withdraw
        folder = serving_folder(stores.project)
        self.given_up, self.comparisons = StoppedCanaries(folder), ComparisonStore(folder)
        self.follower = RegistryWatcher(
            stores.registry,
            self._load,
            self.given_up,
            seconds=config.serve.poll_seconds,
            keep=config.serve.keep_versions,
            on_failure=self._load_failed,
            on_look=self._looked,
        )
        self.answer_log = PredictionLog(stores.project, config.serve.log)
        self._pairs = PairedAnswers(folder)

    async def start(self) -> None:
        """Begin to follow the registry and to work off the queue; what has a role is loaded when this returns."""
        import torch

        torch.set_num_threads(self._threads)
        registry = self._stores.registry
        self._witness = AliasReader(
            SqliteCachedRead(registry.tracking_uri, registry.champion), self.settings.confirm_seconds
        )
        timely = FreshnessGuard(self._witness, self.follower)
        self.batcher = Batcher(
            lambda: self.follower.roles, self.settings.batch, self.metrics.batches.observe, timely.until
        )
        self.answering = RequestHandler(
            self.batcher,
            lambda: self.follower.roles,
            self.comparisons,
            self._pairs,
            self.metrics,
            self.live,
            self.answer_log,
        )
        self._work = asyncio.ensure_future(self.batcher.run())
        self.follower.start()
        await asyncio.to_thread(self.follower.looked.wait, FIRST_LOOK_SECONDS)
        self.draining.arm(asyncio.get_running_loop())

    async def stop(self) -> None:
        """End after the last answer: what is known is written."""
        self.follower.stop()
        self._witness.close()
        await self.answering.close()
        self._work.cancel()
        await asyncio.to_thread(self.batcher.close)
        self.comparisons.write()
        await asyncio.to_thread(self.answer_log.close)

    def _load(self, version: str) -> ServedModel:
        """Bring a version from the registry, check it against its manifest, read and warm it."""
        folder = self._stores.champion_folder(version)
        assert folder is not None
        loaded = load_served_model(version, folder, self.settings.precision)
        forget_notified(self._stores.project, _told(version))
        return loaded

    def _load_failed(self, failed: FailedLoad, serving: str | None) -> None:
        went_on = f"version {serving} goes on answering" if serving else "nothing answers"
        told = f"the {failed.role}, version {failed.version}, cannot be loaded; {went_on}\n{failed.why}"
        notice = failure_notice(self.config.name, "cl serve", told)
        notify_once(self._stores.project, _told(failed.version), lambda: self._tell(notice), saying=failed.why)

    def _looked(self) -> None:
        """Write and judge the comparisons, and set the gauges; in the follower's thread, after each look."""
        try:
            if self.follower.reachable:
                self._witness.answers_again()
            self.comparisons.write()
            self._judge_canary()
            self._gauge()
        except Exception:
            log.exception("the comparison of versions could not be written or judged")

    def _judge_canary(self) -> None:
        roles = self.follower.roles
        if roles.canary is None or roles.champion is None:
            return
        key = ("canary", roles.canary.version, roles.champion.version, roles.canary_attempt)
        seen = next((one for one in self.comparisons.summed() if one.key == key), None)
        why = stop_reason(seen, self.settings.canary) if seen else None
        if why and self.given_up.add(roles.canary.version, why):
            told = f"the canary, version {roles.canary.version}, is asked no more: {why}"
            log.error("%s", told)
            self._tell(failure_notice(self.config.name, "the canary", told))
            self._withdraw(why)

    def _gauge(self) -> None:
        metrics, roles = self.metrics, self.follower.roles
        named = {"champion": roles.champion, "canary": roles.canary, "shadow": roles.shadow}
        metrics.hold({role: one.version for role, one in named.items() if one is not None}, self.given_up.reasons())
        metrics.swaps.set(self.follower.swaps)
        metrics.load_failures.set(len(self.follower.failed))
        metrics.registry_up.set(bool(self.follower.reachable))
        metrics.waiting.set(self.batcher.waiting)


def _told(version: str) -> str:
    """Return the key under which it is remembered that people know of a version that cannot be loaded."""
    return f"cl serve: version {version}"
