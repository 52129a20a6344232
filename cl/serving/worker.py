"""The parts of one worker, assembled: registry watcher, batcher, comparisons, log and metrics."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from functools import partial

from cl import plugins
from cl.config import Config
from cl.monitoring.notices import Notice, failure_notice
from cl.monitoring.notified import forget_notified, notify_once
from cl.plugins import Capability
from cl.process.processors import count_processors
from cl.promotion.outside import outside_changes
from cl.serving.auth import read_tokens
from cl.serving.batching.batcher import Batcher
from cl.serving.canary.comparison_store import ComparisonStore, serving_folder
from cl.serving.canary.paired_answers import PairedAnswers
from cl.serving.canary.stopping import StoppedCanaries, stop_reason
from cl.serving.freshness import AliasReader, FreshnessGuard
from cl.serving.graceful_shutdown import GracefulShutdown
from cl.serving.ledger_champion import LedgerChampion
from cl.serving.live_stats import LiveStats
from cl.serving.prediction_log import PredictionLog
from cl.serving.prometheus import Metrics
from cl.serving.registry_watcher import FailedLoad, RegistryWatcher
from cl.serving.request_handler import RequestHandler
from cl.serving.served_model import ServedModel, load_served_model
from cl.serving.tagger_follower import TaggerFollower
from cl.serving.traffic_split import TrafficSplit
from cl.serving.vllm.client import VllmClient
from cl.serving.vllm.engine import VllmEngine
from cl.serving.vllm.versions import VllmVersions
from cl.serving.writing.engine import WritingEngine
from cl.serving.writing.shared_bases import SharedBases
from cl.serving.writing.writer import Writer
from cl.stores.sqlite_cache import SqliteCachedRead
from cl.stores.stores import Stores
from cl.tasks import Task

log = logging.getLogger(__name__)
Tell = Callable[[Notice], None]
FIRST_POLL_SECONDS = 60.0
"""Longest wait for the first poll of the registry before a worker takes requests."""


class ServingWorker:
    """Everything behind the routes of one worker; `start` starts it.

    ``tell`` delivers a notice; ``withdraw`` removes the canary's alias for the given reason. Both may be slow, as they
    are called outside the event loop.
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
        self._threads = config.serve.threads or max(1, count_processors() // workers)
        self._threads_before: int | None = None
        self._stores, self._tell, self._withdraw = stores, tell, withdraw
        folder = serving_folder(stores.project)
        self.given_up, self.comparisons = StoppedCanaries(folder), ComparisonStore(folder)
        self.by_ledger = LedgerChampion(stores.registry, stores.ledger)
        self._vllm = _connect_vllm(config, stores)
        self.follower = RegistryWatcher(
            stores.registry,
            self._load,
            self.given_up,
            seconds=config.serve.poll_seconds,
            keep=config.serve.keep_versions,
            on_failure=self._report_failed_load,
            on_poll=self._after_poll,
            champion_of=self.by_ledger.of,
            explain=partial(_explain, stores),
            on_evict=self._vllm[1].release if self._vllm else lambda version: None,
        )
        self.tagger = _follow_tagger(config, stores)
        self.answer_log = PredictionLog(stores.project, config.serve.log, self.task)
        self._pairs, self._bases = PairedAnswers(folder), SharedBases()

    async def start(self) -> None:
        """Start to follow the registry and to process the queue; versions with a role are loaded on return."""
        import torch

        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        gc.collect()
        gc.freeze()  # what is imported stays: to look through it for garbage would hold requests up
        registry = self._stores.registry
        read_alias = SqliteCachedRead(registry.tracking_uri, registry.champion)
        self._alias_reader = AliasReader(lambda: self.by_ledger.confirmed(read_alias()), self.settings.confirm_seconds)
        freshness = FreshnessGuard(self._alias_reader, self.follower)
        self.batcher = self._build_batcher(freshness)
        self.answering = RequestHandler(
            self.batcher,
            self._roles,
            self.comparisons,
            self._pairs,
            self.metrics,
            self.live,
            self.answer_log,
        )
        self._work = asyncio.ensure_future(self.batcher.run())
        self.follower.start()
        await asyncio.to_thread(self.follower.polled.wait, FIRST_POLL_SECONDS)
        if self.tagger is not None:
            await asyncio.to_thread(self.tagger.poll)
        self.draining.arm(asyncio.get_running_loop())

    def _build_batcher(self, freshness: FreshnessGuard) -> Batcher | Writer:
        settings, observe = self.settings, self.metrics.batches.observe
        if self._vllm is not None:
            return VllmEngine(self._roles, settings.batch, settings.writing, *self._vllm, freshness.until)
        if Capability.WRITING in self.task.provides:
            return WritingEngine(self._roles, settings.batch, settings.writing, observe, freshness.until)
        return Batcher(self._roles, settings.batch, observe, freshness.until)

    def _roles(self) -> TrafficSplit:
        return self.follower.roles

    async def stop(self) -> None:
        """Stop after the last answer and write comparisons and the log."""
        self.follower.stop()
        self._alias_reader.close()
        await self.answering.close()
        self._work.cancel()
        await asyncio.to_thread(self.batcher.close)
        if self.tagger is not None:
            self.tagger.close()
        self.comparisons.write()
        await asyncio.to_thread(self.answer_log.close)
        if self._threads_before is not None:
            import torch

            torch.set_num_threads(self._threads_before)  # who started it in this process may compute on

    def _load(self, version: str) -> ServedModel:
        """Fetch a version from the registry, verify it against its manifest, load it and warm it up."""
        folder = self._stores.champion_folder(version)
        assert folder is not None
        if self._vllm is not None:
            loaded = self._vllm[1].load(version, folder)
        else:
            loaded = load_served_model(version, folder, self.settings.precision, self._bases)
        forget_notified(self._stores.project, _notice_key(version))
        return loaded

    def _report_failed_load(self, failed: FailedLoad, serving: str | None) -> None:
        consequence = f"version {serving} keeps answering" if serving else "no version answers"
        message = f"the {failed.role}, version {failed.version}, cannot be loaded; {consequence}\n{failed.why}"
        notice = failure_notice(self.config.name, "cl serve", message)
        notify_once(self._stores.project, _notice_key(failed.version), lambda: self._tell(notice), saying=failed.why)

    def _after_poll(self) -> None:
        """Write and judge the comparisons and set the gauges; runs in the registry watcher's thread after each poll."""
        if self.tagger is not None:
            self.tagger.poll()
        try:
            if self.follower.reachable:
                self._alias_reader.answers_again()
            self.comparisons.write()
            self._judge_canary()
            self._set_gauges()
        except Exception:
            log.exception("the comparison of versions could not be written or judged")

    def _judge_canary(self) -> None:
        roles = self.follower.roles
        if roles.canary is None or roles.champion is None:
            return
        key = ("canary", roles.canary.version, roles.champion.version, roles.canary_attempt)
        comparison = next((summed for summed in self.comparisons.summed() if summed.key == key), None)
        why = stop_reason(comparison, self.settings.canary) if comparison else None
        if why and self.given_up.add(roles.canary.version, why):
            message = f"the canary, version {roles.canary.version}, was stopped: {why}"
            log.error("%s", message)
            self._tell(failure_notice(self.config.name, "the canary", message))
            self._withdraw(why)

    def _set_gauges(self) -> None:
        metrics, roles = self.metrics, self.follower.roles
        models = {"champion": roles.champion, "canary": roles.canary, "shadow": roles.shadow}
        metrics.hold(
            {role: model.version for role, model in models.items() if model is not None}, self.given_up.reasons()
        )
        metrics.swaps.set(self.follower.swaps)
        metrics.load_failures.set(len(self.follower.failed))
        metrics.registry_up.set(bool(self.follower.reachable))
        metrics.waiting.set(self.batcher.waiting)


def _connect_vllm(config: Config, stores: Stores) -> tuple[VllmClient, VllmVersions] | None:
    """Return the vLLM server that computes, and the versions on it; None: this process computes."""
    engine = config.serve.engine
    if engine.name != "vllm":
        return None
    client = VllmClient(engine)
    return client, VllmVersions(client, engine, project=config.name, root=stores.project.root)


def _follow_tagger(config: Config, stores: Stores) -> TaggerFollower | None:
    """Return what follows the version that finds the spans of bare texts; None: they come with each text."""
    return TaggerFollower(config, stores) if config.pipeline.tagger is not None else None


def _explain(stores: Stores) -> list[str]:
    """Return what was changed in MLflow by hand."""
    return outside_changes(stores.registry, stores.ledger.readable(stores.registry.model)[0])


def _notice_key(version: str) -> str:
    """Return the notification key of a version that cannot be loaded."""
    return f"cl serve: version {version}"
