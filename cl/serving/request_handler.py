"""One request through the server: who answers, the answer, its copies, the log and the counts."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from cl.serving.batching.batcher import BatchedAnswer, Batcher
from cl.serving.canary.comparison_store import ComparisonStore
from cl.serving.canary.paired_answers import AnswerPair, PairedAnswers
from cl.serving.live_stats import LiveStats
from cl.serving.prediction_log import PredictionLog
from cl.serving.prometheus import Metrics
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import Role, TrafficSplit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HandledRequest:
    """The answers to one request, and the ids under which labels may come later; one version gave them all."""

    loaded: ServedModel
    role: Role
    answers: list[RowAnswer]
    ids: list[str]


class RequestHandler:
    """Asks the batcher and tells everybody who must know, none of whom delays the answer."""

    def __init__(
        self,
        batcher: Batcher,
        roles: Callable[[], TrafficSplit],
        comparisons: ComparisonStore,
        pairs: PairedAnswers,
        metrics: Metrics,
        live: LiveStats,
        answer_log: PredictionLog,
    ) -> None:
        self._batcher, self._roles, self._comparisons, self._pairs = batcher, roles, comparisons, pairs
        self._metrics, self._live, self._log = metrics, live, answer_log
        self._beside: set[asyncio.Task[None]] = set()

    async def ask(self, values: list[Any], key: str | None) -> HandledRequest:
        """Return the answers to texts, or lists of tokens.

        Raises:
            PerennialError: as `Batcher.answer`.
        """
        started, at = time.perf_counter(), time.time()
        told = key if key is not None else "\n".join(map(_plain, values))
        role = self._roles().role_for(told)
        computed = await self._batcher.answer(values, role)
        milliseconds = (time.perf_counter() - started) * 1000
        answered = HandledRequest(
            computed.loaded, computed.role, computed.answers, [str(uuid.uuid4()) for _ in computed.answers]
        )
        self._count(answered, computed, milliseconds)
        self._log.record(_entries(answered, values, key, at, milliseconds))
        self._copy(answered, computed, values, told, key)
        return answered

    async def feedback(self, id: str, label: str | list[str]) -> None:
        """Take the right label of an answer; it is on the disk when this returns.

        Raises:
            StoreError: it could not be written.
        """
        await self._log.feedback(id, label)
        if self._pairs.exist:  # of a challenger of now or of before
            for pair in await asyncio.to_thread(self._pairs.take, id):
                seen = self._comparisons.of(pair.role, pair.version, pair.champion, pair.attempt)
                seen.label(pair.own, pair.beside, label)

    async def close(self) -> None:
        """Forget the copies that wait still."""
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)

    def _count(self, answered: HandledRequest, computed: BatchedAnswer, milliseconds: float) -> None:
        version, rows = answered.loaded.version, len(answered.answers)
        outside = [one.out_of_scope for one in answered.answers if one.out_of_scope is not None]
        self._metrics.rows.labels(version, answered.role).inc(rows)
        if any(outside):
            self._metrics.outside.labels(version).inc(sum(outside))
        classes = [_class(one.value) for one in answered.answers]
        self._live.answered(milliseconds, classes, [one.confidence for one in answered.answers], outside)
        roles = self._roles()
        canary, champion = roles.canary, roles.champion
        if computed.failed is not None:
            self._metrics.failures.labels(computed.failed).inc(rows)
            seen = self._comparisons.of("canary", computed.failed, version, roles.canary_attempt)
            seen.own.rows += rows
            seen.own.errors += rows
        elif canary is not None and champion is not None:
            seen = self._comparisons.of("canary", canary.version, champion.version, roles.canary_attempt)
            side = seen.own if answered.role == "canary" else seen.beside
            side.rows += rows
            side.time(milliseconds)

    def _copy(
        self, answered: HandledRequest, computed: BatchedAnswer, values: list[Any], told: str, key: str | None
    ) -> None:
        """Let the shadow hear what the champion was asked, and the champion what the canary was."""
        roles = self._roles()
        if answered.role == "canary" and roles.champion is not None:
            self._start(self._champion_beside(answered, values, roles.champion))
        elif answered.role == "champion" and roles.shadow is not None and roles.copied(told):
            self._start(self._shadow_beside(answered, computed, values, roles.shadow, key))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._beside.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a copy could not be compared: %s", task.exception())

    async def _champion_beside(self, answered: HandledRequest, values: list[Any], champion: ServedModel) -> None:
        computed = await self._batcher.copy(values, champion)
        if computed is None:
            self._metrics.dropped.inc()
            return
        await self._compare("canary", answered, answered.answers, computed.answers, answered.loaded, champion)

    async def _shadow_beside(
        self, answered: HandledRequest, asked: BatchedAnswer, values: list[Any], shadow: ServedModel, key: str | None
    ) -> None:
        seen = self._comparisons.of("shadow", shadow.version, answered.loaded.version)
        at = time.time()
        seen.own.rows += len(values)
        try:
            computed = await self._batcher.copy(values, shadow)
        except Exception:
            seen.own.errors += len(values)
            self._metrics.failures.labels(shadow.version).inc(len(values))
            return
        if computed is None:
            seen.own.rows -= len(values)
            self._metrics.dropped.inc()
            return
        self._metrics.rows.labels(shadow.version, "shadow").inc(len(values))
        seen.beside.rows += len(values)
        seen.own.time(computed.seconds * 1000)
        seen.beside.time(asked.seconds * 1000)
        ids = [str(uuid.uuid5(uuid.UUID(id), "shadow")) for id in answered.ids]
        copy = HandledRequest(shadow, "shadow", computed.answers, ids)
        self._log.record(_entries(copy, values, key, at, computed.seconds * 1000))
        await self._compare("shadow", answered, computed.answers, asked.answers, shadow, answered.loaded)

    async def _compare(
        self,
        role: Role,
        answered: HandledRequest,
        own: list[RowAnswer],
        beside: list[RowAnswer],
        by: ServedModel,
        champion: ServedModel,
    ) -> None:
        attempt = self._roles().canary_attempt if role == "canary" else 1
        seen = self._comparisons.of(role, by.version, champion.version, attempt)
        seen.compared += len(own)
        seen.agreed += sum(one.value == other.value for one, other in zip(own, beside, strict=True))
        pairs = [
            AnswerPair(id, *seen.key, one.value, other.value)
            for id, one, other in zip(answered.ids, own, beside, strict=True)
        ]
        await asyncio.to_thread(self._pairs.keep, pairs)


def _entries(
    answered: HandledRequest, values: list[Any], key: str | None, at: float, milliseconds: float
) -> list[dict[str, Any]]:
    column = answered.loaded.learner.task.columns[0]
    return [
        {
            "id": id,
            "at": at,
            "version": answered.loaded.version,
            "role": answered.role,
            column: value,
            "label": answer.value,
            "confidence": answer.confidence,
            "out_of_scope": answer.out_of_scope,
            "latency_ms": round(milliseconds, 3),
            "key": key,
        }
        for id, value, answer in zip(answered.ids, values, answered.answers, strict=True)
    ]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _class(value: Any) -> str:
    """Return the class that the mix of answers counts: the label, or the entity types of a sentence."""
    return value if isinstance(value, str) else " ".join(sorted({tag[2:] for tag in value if tag != "O"})) or "O"
