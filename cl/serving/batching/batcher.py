"""Micro-batching: rows of different requests are computed together, in a thread that leaves the event loop free.

There is no wait for company: while one batch is computed, the next one gathers. A lone client gets its answer at once,
and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cl.config.serving import Batching
from cl.errors import PerennialError
from cl.serving.batching.partition import BATCH_COST, next_batch
from cl.serving.batching.queue import PendingRequest, PendingRow, RequestQueue
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import Role, TrafficSplit

log = logging.getLogger(__name__)
COPIED_ROWS = 8
"""Rows of copies that are computed together at most: an answer waits for no more than them."""
COPIES_WAITING = 512
FIRST_GUESS = 20_000.0
"""Tokens a second, until the first batches have shown it."""
MEMORY = 0.2
"""Weight of the last batch in the mean of what batches take."""


class QueueFullError(PerennialError):
    """No room for a request; ``seconds`` is when there will be."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many texts wait already; try again in {seconds} s")
        self.seconds = seconds


class NotReadyError(PerennialError):
    """No champion is in memory yet."""


class InferenceError(PerennialError):
    """A version could not answer a row."""


@dataclass(frozen=True)
class BatchedAnswer:
    """Answers to the rows of one request; ``seconds`` is what their batches took."""

    loaded: ServedModel
    role: Role
    answers: list[RowAnswer]
    seconds: float
    failed: str | None


async def answer_regardless(version: str, asked: float) -> float:
    """Let a version answer whatever was asked: who is champion is known without asking."""
    return math.inf


class Batcher:
    """The queue of one process and the thread that works it off.

    ``until`` says up to which moment a question must have come for a champion to answer it; it is asked while the
    batch is computed. What came later is computed again, by the champion of then.
    """

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        on_batch: Callable[[int], None],
        until: Callable[[str, float], Awaitable[float]] = answer_regardless,
    ) -> None:
        self._roles, self._settings, self._on_batch, self._until = roles, settings, on_batch, until
        self._asked, self._copied = RequestQueue(), RequestQueue()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "inference")
        self._tokens_per_second, self._seconds_per_row = FIRST_GUESS, 0.002

    @property
    def waiting(self) -> int:
        """Rows of requests that wait or are computed."""
        return len(self._asked.rows)

    async def answer(self, values: list[Any], role: Role) -> BatchedAnswer:
        """Return the answers to the rows of one request.

        Raises:
            NotReadyError: there is no champion yet.
            QueueFullError: no room.
            InferenceError: the champion failed on one of them.
        """
        if self._roles().champion is None:
            raise NotReadyError("no champion is loaded yet")
        if self.waiting and self.waiting + len(values) > self._settings.queue_rows:
            raise QueueFullError(max(1, math.ceil(self.waiting * self._seconds_per_row)))
        return await self._through(
            self._asked, PendingRequest(values, role, asyncio.get_running_loop().create_future())
        )

    async def copy(self, values: list[Any], loaded: ServedModel) -> BatchedAnswer | None:
        """Return another version's answers, computed when nobody waits; None where too many copies wait already."""
        if len(self._copied.rows) + len(values) > COPIES_WAITING:
            return None
        job = PendingRequest(values, "shadow", asyncio.get_running_loop().create_future(), loaded=loaded)
        return await self._through(self._copied, job)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            if self._asked.rows:
                await self._step(self._asked, self._settings.rows)
            elif self._copied.rows:
                await self._step(self._copied, COPIED_ROWS)
            else:
                self._wake.clear()
                await self._wake.wait()

    def close(self) -> None:
        """End the thread after its batch."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _through(self, pool: RequestQueue, job: PendingRequest) -> BatchedAnswer:
        pool.add(job, time.monotonic(), self._tokens_per_second)
        self._wake.set()
        try:
            await job.future
        finally:
            if len(job.answers) < len(job.values):
                pool.drop(job)
        assert job.loaded is not None
        answers = [job.answers[place] for place in range(len(job.values))]
        return BatchedAnswer(job.loaded, job.role, answers, job.seconds, job.failed)

    async def _step(self, pool: RequestQueue, most: int) -> None:
        """Compute one batch and hand its answers out; the version is chosen here, between two batches."""
        roles = self._roles()
        for row in pool.rows[: 2 * most]:
            _choose(row.job, roles)
        rows, budget = pool.head(most), int(self._tokens_per_second * self._settings.milliseconds / 1000)
        until = asyncio.ensure_future(self._may_answer(rows))
        try:
            batch = await asyncio.get_running_loop().run_in_executor(self._thread, _compute, rows, budget)
        except Exception as error:
            until.cancel()
            self._failed(pool, rows, error, roles)
            return
        self._learn(batch)
        self._on_batch(len(batch.rows))
        self._hand_out(pool, batch, await until)

    async def _may_answer(self, rows: list[PendingRow]) -> float:
        job = rows[0].job
        if job.role != "champion" or job.loaded is None:
            return math.inf
        return await self._until(job.loaded.version, max(row.job.asked for row in rows))

    def _hand_out(self, pool: RequestQueue, batch: _Batch, until: float) -> None:
        """Give the jobs their answers; those that were asked after a moment begin again."""
        good = [(row, answer) for row, answer in zip(batch.rows, batch.answers, strict=True) if row.job.asked <= until]
        pool.take([row for row, _ in good])
        for row, answer in good:
            row.job.answers[row.place] = answer
        for job in {id(row.job): row.job for row in batch.rows}.values():
            job.seconds += batch.seconds
            if job.asked > until:
                pool.drop(job)
                job.loaded, job.answers = None, {}
                pool.add(job, job.asked, self._tokens_per_second)
            elif len(job.answers) == len(job.values) and not job.future.done():
                job.future.set_result(None)

    def _failed(self, pool: RequestQueue, rows: list[PendingRow], error: Exception, roles: TrafficSplit) -> None:
        """Let the rows of a batch that failed be computed alone; one that fails alone is given up, or the canary is."""
        if len(rows) > 1:
            for row in rows:
                row.alone = True
            return
        job = rows[0].job
        version = job.loaded.version if job.loaded else "?"
        log.error("version %s could not answer a row: %s", version, error, exc_info=True)
        pool.drop(job)
        if job.role == "canary" and roles.champion is not None:
            job.role, job.loaded, job.failed, job.answers = "champion", roles.champion, version, {}
            pool.add(job, time.monotonic(), self._tokens_per_second)
        elif not job.future.done():
            job.future.set_exception(InferenceError(f"version {version} could not answer: {type(error).__name__}"))

    def _learn(self, batch: _Batch) -> None:
        seconds = max(batch.seconds, 1e-6)
        self._tokens_per_second += MEMORY * (batch.tokens / seconds - self._tokens_per_second)
        self._seconds_per_row += MEMORY * (seconds / len(batch.rows) - self._seconds_per_row)


@dataclass(frozen=True)
class _Batch:
    rows: list[PendingRow]
    answers: list[RowAnswer]
    seconds: float
    tokens: int


def _choose(job: PendingRequest, roles: TrafficSplit) -> None:
    if job.loaded is None:
        job.loaded = roles.canary if job.role == "canary" else roles.champion
        if job.loaded is None:  # the canary has gone meanwhile
            job.role, job.loaded = "champion", roles.champion


def _compute(rows: list[PendingRow], budget: int) -> _Batch:
    """Tokenise rows, choose those that go together, and answer them; runs in the inference thread."""
    loaded = rows[0].job.loaded
    assert loaded is not None
    fresh = [row for row in rows if row.encoded is None]
    for row, encoded in zip(fresh, loaded.encode([row.value for row in fresh]), strict=True):
        row.encoded = encoded
    lengths = [len(row.encoded.input_ids) for row in rows if row.encoded]
    chosen = [rows[place] for place in next_batch(lengths, budget)]
    started = time.perf_counter()
    answers = loaded.answer([row.value for row in chosen], [row.encoded for row in chosen if row.encoded])
    tokens = BATCH_COST + len(chosen) * max(len(row.encoded.input_ids) for row in chosen if row.encoded)
    return _Batch(chosen, answers, time.perf_counter() - started, tokens)
