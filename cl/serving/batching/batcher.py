"""Micro-batching: compute rows of different requests together, in a thread that leaves the event loop free.

Batches are never delayed to fill up: while one is computed, the next one gathers. A lone client is answered at once,
and batches grow with the load.
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
from cl.serving.batching.partition import next_batch
from cl.serving.batching.queue import PendingRequest, PendingRow, RequestQueue
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit

log = logging.getLogger(__name__)
COPIED_ROWS = 8
"""Most copied rows in a batch, which bounds how long they delay an answer."""
COPIES_WAITING = 512
FIRST_GUESS = 20_000.0
"""Initial estimate of tokens per second, until the first batches are measured."""
MEMORY = 0.2
"""Weight of the last batch in the moving averages of speed."""


class QueueFullError(PerennialError):
    """The queue has no room for a request; retry after ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many texts are queued; try again in {seconds} s")
        self.seconds = seconds


class NotReadyError(PerennialError):
    """No champion is loaded yet."""


class InferenceError(PerennialError):
    """A version failed on a row."""

    def __init__(self, version: str, why: str) -> None:
        super().__init__(why)
        self.version = version


async def accept_always(version: str, asked: float) -> float:
    """Accept every answer of a version, without asking the registry who is champion."""
    return math.inf


class Batcher:
    """The queue of one process and the thread that computes its batches.

    ``until`` returns the latest arrival time of requests that a champion may answer; it runs while the batch is
    computed. Later requests are computed again by the new champion.
    """

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        on_batch: Callable[[int], None],
        until: Callable[[str, float], Awaitable[float]] = accept_always,
    ) -> None:
        self._roles, self._settings, self._on_batch, self._until = roles, settings, on_batch, until
        self._requests, self._copies = RequestQueue(), RequestQueue()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "inference")
        self._tokens_per_second, self._seconds_per_row = FIRST_GUESS, 0.002

    @property
    def waiting(self) -> int:
        """Number of request rows that wait or are being computed."""
        return len(self._requests.rows)

    async def answer(self, values: list[Any], role: Role) -> RequestAnswer:
        """Return the answers to the rows of one request.

        Raises:
            NotReadyError: no champion is loaded yet.
            QueueFullError: the queue has no room.
            InferenceError: the champion failed on a row.
        """
        if self._roles().champion is None:
            raise NotReadyError("no champion is loaded yet")
        if self.waiting and self.waiting + len(values) > self._settings.queue_rows:
            raise QueueFullError(max(1, math.ceil(self.waiting * self._seconds_per_row)))
        return await self._submit(
            self._requests, PendingRequest(values, role, asyncio.get_running_loop().create_future())
        )

    async def copy(self, values: list[Any], loaded: ServedModel) -> RequestAnswer | None:
        """Return another version's answers, computed when no request waits, or None if too many copies wait."""
        if len(self._copies.rows) + len(values) > COPIES_WAITING:
            return None
        job = PendingRequest(values, "shadow", asyncio.get_running_loop().create_future(), loaded=loaded)
        return await self._submit(self._copies, job)

    async def run(self) -> None:
        """Compute batches until cancelled."""
        while True:
            if self._requests.rows:
                await self._run_batch(self._requests, self._settings.rows)
            elif self._copies.rows:
                await self._run_batch(self._copies, COPIED_ROWS)
            else:
                self._wake.clear()
                await self._wake.wait()

    def close(self) -> None:
        """Stop the thread after its current batch."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _submit(self, queue: RequestQueue, job: PendingRequest) -> RequestAnswer:
        queue.add(job, time.monotonic(), self._tokens_per_second)
        self._wake.set()
        try:
            await job.future
        finally:
            if len(job.answers) < len(job.values):
                queue.drop(job)
        assert job.loaded is not None
        answers = [job.answers[index] for index in range(len(job.values))]
        return RequestAnswer(job.loaded, job.role, answers, job.seconds, job.failed)

    async def _run_batch(self, queue: RequestQueue, limit: int) -> None:
        """Compute one batch and hand out its answers; versions are assigned here, between two batches."""
        roles = self._roles()
        for row in queue.rows[: 2 * limit]:
            _assign_version(row.job, roles)
        rows, budget = queue.head(limit), int(self._tokens_per_second * self._settings.milliseconds / 1000)
        until = asyncio.ensure_future(self._latest_arrival(rows))
        try:
            batch = await asyncio.get_running_loop().run_in_executor(self._thread, _compute_batch, rows, budget)
        except Exception as error:
            until.cancel()
            self._handle_failure(queue, rows, error, roles)
            return
        self._update_speed(batch)
        self._on_batch(len(batch.rows))
        self._hand_out(queue, batch, await until)

    async def _latest_arrival(self, rows: list[PendingRow]) -> float:
        job = rows[0].job
        if job.role != "champion" or job.loaded is None:
            return math.inf
        return await self._until(job.loaded.version, max(row.job.asked for row in rows))

    def _hand_out(self, queue: RequestQueue, batch: _Batch, until: float) -> None:
        """Give the requests their answers; requeue those that arrived after ``until``."""
        accepted = [
            (row, answer) for row, answer in zip(batch.rows, batch.answers, strict=True) if row.job.asked <= until
        ]
        queue.take([row for row, _ in accepted])
        for row, answer in accepted:
            row.job.answers[row.index] = answer
        for job in {id(row.job): row.job for row in batch.rows}.values():
            job.seconds += batch.seconds
            if job.asked > until:
                queue.drop(job)
                job.loaded, job.answers = None, {}
                queue.add(job, job.asked, self._tokens_per_second)
            elif len(job.answers) == len(job.values) and not job.future.done():
                job.future.set_result(None)

    def _handle_failure(
        self, queue: RequestQueue, rows: list[PendingRow], error: Exception, roles: TrafficSplit
    ) -> None:
        """Retry the rows of a failed batch one by one; a single failing row falls back to the champion or fails."""
        if len(rows) > 1:
            for row in rows:
                row.alone = True
            return
        job = rows[0].job
        version = job.loaded.version if job.loaded else "?"
        expected = isinstance(error, PerennialError)
        log.error("version %s could not answer a row: %s", version, error, exc_info=None if expected else error)
        queue.drop(job)
        if job.role == "canary" and roles.champion is not None:
            job.role, job.loaded, job.failed, job.answers = "champion", roles.champion, version, {}
            queue.add(job, time.monotonic(), self._tokens_per_second)
        elif not job.future.done():
            why = str(error) if expected else f"version {version} could not answer; the server's log says why"
            job.future.set_exception(InferenceError(version, why))

    def _update_speed(self, batch: _Batch) -> None:
        seconds = max(batch.seconds, 1e-6)
        self._tokens_per_second += MEMORY * (batch.tokens / seconds - self._tokens_per_second)
        self._seconds_per_row += MEMORY * (seconds / len(batch.rows) - self._seconds_per_row)


@dataclass(frozen=True)
class _Batch:
    rows: list[PendingRow]
    answers: list[RowAnswer]
    seconds: float
    tokens: int


def _assign_version(job: PendingRequest, roles: TrafficSplit) -> None:
    if job.loaded is None:
        job.loaded = roles.canary if job.role == "canary" else roles.champion
        if job.loaded is None:  # the canary was withdrawn meanwhile
            job.role, job.loaded = "champion", roles.champion


def _compute_batch(rows: list[PendingRow], budget: int) -> _Batch:
    """Tokenise rows, choose the batch and answer it; runs in the inference thread."""
    loaded = rows[0].job.loaded
    assert loaded is not None
    unencoded = [row for row in rows if row.encoded is None]
    for row, tokens in zip(unencoded, loaded.encode([row.value for row in unencoded]), strict=True):
        row.encoded = tokens
    encoded = [row.encoded for row in rows if row.encoded]
    batch = next_batch([len(row.input_ids) for row in encoded], budget, padded=not loaded.is_unpadded(encoded))
    chosen = [rows[index] for index in batch.rows]
    started = time.perf_counter()
    answers = loaded.answer([row.value for row in chosen], [encoded[index] for index in batch.rows])
    return _Batch(chosen, answers, time.perf_counter() - started, batch.tokens)
