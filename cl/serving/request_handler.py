"""Handle one request: choose the version, answer, copy, log and count."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cl.serving.batching.batcher import Batcher, InferenceError
from cl.serving.canary.comparison_store import ComparisonStore
from cl.serving.canary.paired_answers import AnswerPair, PairedAnswers
from cl.serving.live_stats import LiveStats
from cl.serving.prediction_log import PredictionLog
from cl.serving.prometheus import Metrics
from cl.serving.served_model import ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit
from cl.serving.writing.writer import Writer
from cl.tasks import agrees, class_of, in_order

log = logging.getLogger(__name__)
Copying = Callable[[list[Any], ServedModel], Awaitable[RequestAnswer | None]]
"""Returns the answers of another version to the same values; None: there is no room for them."""


@dataclass(frozen=True)
class Arrival:
    """A request: its inputs, as `ServedModel.encode` takes them, its key, if any, and when it arrived."""

    values: list[Any]
    key: str | None
    received_at: float = field(default_factory=time.time)
    """In seconds since 1970."""
    started: float = field(default_factory=time.perf_counter)

    @property
    def routing_key(self) -> str:
        """What decides which version answers: the key, else the inputs."""
        return self.key if self.key is not None else "\n".join(map(_to_text, self.values))


class RequestHandler:
    """Answers requests through the batcher; logging, metrics and copies never delay an answer."""

    def __init__(
        self,
        batcher: Batcher | Writer,
        roles: Callable[[], TrafficSplit],
        comparisons: ComparisonStore,
        pairs: PairedAnswers,
        metrics: Metrics,
        live: LiveStats,
        answer_log: PredictionLog,
    ) -> None:
        self._batcher, self._roles, self._comparisons, self._pairs = batcher, roles, comparisons, pairs
        self._metrics, self._live, self._log = metrics, live, answer_log
        self._copy_tasks: set[asyncio.Task[None]] = set()

    async def ask(self, values: list[Any], key: str | None, *, tagger: str | None = None) -> RequestAnswer:
        """Return the answers to inputs, as `ServedModel.encode` takes them; ``tagger`` has found the spans in them.

        Raises:
            PerennialError: as `Batcher.answer`.
        """
        arrival = Arrival(values, key)
        with self.counting_failures(arrival):
            answered = replace(await self._batcher.answer(values, self.role_of(arrival)), tagger=tagger)
        self.conclude(arrival, answered, self._batcher.copy)
        return answered

    def role_of(self, arrival: Arrival) -> Role:
        """Return the role of the version that answers a request."""
        return self._roles().role_for(arrival.routing_key)

    @contextmanager
    def counting_failures(self, arrival: Arrival) -> Iterator[None]:
        """Count the rows of a request that a version cannot answer."""
        try:
            yield
        except InferenceError as error:
            self._metrics.failures.labels(error.version).inc(len(arrival.values))
            raise

    def conclude(self, arrival: Arrival, answered: RequestAnswer, copying: Copying | None) -> None:
        """Count and log an answered request, and let other versions answer a copy of it; None: no copy."""
        milliseconds = (time.perf_counter() - arrival.started) * 1000
        self._count(answered, milliseconds)
        self._log.record(_log_entries(answered, arrival, arrival.received_at, milliseconds))
        if copying is not None:
            self._start_copy(arrival, answered, copying)

    async def feedback(self, id: str, label: Any) -> None:
        """Store the true answer; it is on the disk when this returns.

        Raises:
            StoreError: it could not be written.
        """
        kind = self._log.task.schema.answer.kind
        label = in_order(kind, label)
        await self._log.feedback(id, label)
        if self._pairs.exist:  # of a current or an earlier challenger
            for pair in await asyncio.to_thread(self._pairs.take, id):
                comparison = self._comparisons.of(pair.role, pair.version, pair.champion, pair.attempt)
                comparison.label(
                    own_right=agrees(kind, label, pair.own), champion_right=agrees(kind, label, pair.champion_answer)
                )

    async def thumb(self, id: str, thumb: Literal["up", "down"]) -> bool:
        """Count what somebody thinks of an answer; one that is liked is stored as the true answer.

        Returns:
            Whether the log has the answer.

        Raises:
            StoreError: it could not be read or written.
        """
        logged = await self._log.logged(id)
        if logged is None:
            return False
        self._metrics.thumbs.labels(logged.version, thumb).inc()
        if thumb == "up":
            await self.feedback(id, logged.value)
        return True

    async def close(self) -> None:
        """Cancel the copies that still wait."""
        for task in self._copy_tasks:
            task.cancel()
        await asyncio.gather(*self._copy_tasks, return_exceptions=True)

    def _count(self, answered: RequestAnswer, milliseconds: float) -> None:
        version, rows = answered.loaded.version, len(answered.answers)
        flags = [answer.out_of_scope for answer in answered.answers if answer.out_of_scope is not None]
        self._metrics.rows.labels(version, answered.role).inc(rows)
        if any(flags):
            self._metrics.outside.labels(version).inc(sum(flags))
        kind = answered.loaded.learner.task.schema.answer.kind
        labels = [class_of(kind, answer.value) for answer in answered.answers]
        self._live.answered(milliseconds, labels, [answer.confidence for answer in answered.answers], flags)
        roles = self._roles()
        canary, champion = roles.canary, roles.champion
        if answered.failed is not None:
            self._metrics.failures.labels(answered.failed).inc(rows)
            comparison = self._comparisons.of("canary", answered.failed, version, roles.canary_attempt)
            comparison.own.rows += rows
            comparison.own.errors += rows
        elif canary is not None and champion is not None:
            comparison = self._comparisons.of("canary", canary.version, champion.version, roles.canary_attempt)
            side = comparison.own if answered.role == "canary" else comparison.champion_side
            side.rows += rows
            side.time(milliseconds)

    def _start_copy(self, arrival: Arrival, answered: RequestAnswer, copying: Copying) -> None:
        """Copy the champion's requests to the shadow, and the canary's to the champion."""
        roles = self._roles()
        if answered.role == "canary" and roles.champion is not None:
            self._start_task(self._copy_to_champion(arrival, answered, roles.champion, copying))
        elif answered.role == "champion" and roles.shadow is not None and roles.copied(arrival.routing_key):
            self._start_task(self._copy_to_shadow(arrival, answered, roles.shadow, copying))

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._copy_tasks.add(task)
        task.add_done_callback(self._finish_task)

    def _finish_task(self, task: asyncio.Task[None]) -> None:
        self._copy_tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a copy could not be compared: %s", task.exception())

    async def _copy_to_champion(
        self, arrival: Arrival, answered: RequestAnswer, champion: ServedModel, copying: Copying
    ) -> None:
        computed = await copying(arrival.values, champion)
        if computed is None:
            self._metrics.dropped.inc()
            return
        await self._compare("canary", answered, answered, champion=replace(computed, loaded=champion))

    async def _copy_to_shadow(
        self, arrival: Arrival, answered: RequestAnswer, shadow: ServedModel, copying: Copying
    ) -> None:
        rows = len(arrival.values)
        comparison = self._comparisons.of("shadow", shadow.version, answered.loaded.version)
        received_at = time.time()
        comparison.own.rows += rows
        try:
            computed = await copying(arrival.values, shadow)
        except Exception:
            comparison.own.errors += rows
            self._metrics.failures.labels(shadow.version).inc(rows)
            return
        if computed is None:
            comparison.own.rows -= rows
            self._metrics.dropped.inc()
            return
        self._metrics.rows.labels(shadow.version, "shadow").inc(rows)
        comparison.champion_side.rows += rows
        comparison.own.time(computed.seconds * 1000)
        comparison.champion_side.time(answered.seconds * 1000)
        copies = [
            replace(copy, id=str(uuid.uuid5(uuid.UUID(answer.id), "shadow")))
            for copy, answer in zip(computed.answers, answered.answers, strict=True)
        ]
        copied = replace(computed, loaded=shadow, role="shadow", answers=copies, tagger=answered.tagger)
        self._log.record(_log_entries(copied, arrival, received_at, computed.seconds * 1000))
        await self._compare("shadow", answered, copied, champion=answered)

    async def _compare(
        self, role: Role, answered: RequestAnswer, challenger: RequestAnswer, *, champion: RequestAnswer
    ) -> None:
        """Count how often both agree, and keep the pairs for later labels, by the ids that the client has."""
        attempt = self._roles().canary_attempt if role == "canary" else 1
        comparison = self._comparisons.of(role, challenger.loaded.version, champion.loaded.version, attempt)
        both = list(zip(challenger.answers, champion.answers, strict=True))
        comparison.compared += len(both)
        kind = champion.loaded.learner.task.schema.answer.kind
        comparison.agreed += sum(in_order(kind, own.value) == in_order(kind, other.value) for own, other in both)
        pairs = [
            AnswerPair(answer.id, *comparison.key, own.value, other.value)
            for answer, (own, other) in zip(answered.answers, both, strict=True)
        ]
        await asyncio.to_thread(self._pairs.keep, pairs)


def _log_entries(
    answered: RequestAnswer, arrival: Arrival, received_at: float, milliseconds: float
) -> list[dict[str, Any]]:
    column = answered.loaded.learner.task.schema.input
    return [
        {
            "id": answer.id,
            "recorded_at": received_at,
            "version": answered.loaded.version,
            "role": answered.role,
            **(value if column is None else {column.name: value}),
            "label": answer.value,
            "confidence": answer.confidence,
            "out_of_scope": answer.out_of_scope,
            "latency_ms": round(milliseconds, 3),
            "key": arrival.key,
            "tagger": answered.tagger,
        }
        for value, answer in zip(arrival.values, answered.answers, strict=True)
    ]


def _to_text(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) else " ".join(map(str, value))
