"""Continuous batching: requests share the steps of a model, and join and leave between two of them.

A step writes one token of every row, whichever version answers it, as long as the versions share a base. It is computed
in a thread that leaves the event loop free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cl.config.serving import Batching, Writing
from cl.errors import PerennialError
from cl.models.decoding import Decoding, Matcher
from cl.models.grammar import FormError
from cl.serving.batching.batcher import (
    COPIED_ROWS,
    COPIES_WAITING,
    MEMORY,
    InferenceError,
    NotReadyError,
    QueueFullError,
    accept_always,
)
from cl.serving.batching.queue import characters_in
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit
from cl.serving.writing.groups import Progress, TimeLimitError, WritingGroup, seconds_to_retry
from cl.serving.writing.rows import END, WritingRequest, WrittenRow

log = logging.getLogger(__name__)
CHARACTERS = 4_096
"""Most characters of prompts that are read between two steps, but for a single longer one: the others wait for it."""


class OpenAnswer:
    """An answer to one value while it is written; iterate over its pieces, and close it in any case."""

    def __init__(self, request: WritingRequest, wake: Callable[[], None]) -> None:
        self.request, self._wake = request, wake
        self._pieces = request.pieces
        self._first: str | None = None

    @property
    def row(self) -> WrittenRow:
        """The row, with its tokens, and why it ended."""
        return self.request.rows[0]

    async def begin(self) -> None:
        """Wait for the first piece, or the end: from now on the version stays the same.

        Raises:
            PerennialError: the version failed, or the time was over, before it wrote anything.
        """
        assert self._pieces is not None
        self._first = await self._pieces.get()
        if self._first is END:
            await self.request.future

    async def pieces(self) -> AsyncIterator[str]:
        """Yield the text as it comes, after `begin`.

        Raises:
            PerennialError: the version failed.
        """
        assert self._pieces is not None
        piece = self._first
        while piece is not END:
            yield piece
            piece = await self._pieces.get()
        await self.request.future

    def close(self) -> None:
        """Free its place if it is not complete."""
        if not self.request.future.done():
            self.request.future.cancel()
            self.request.gone = True
            self._wake()


class WritingEngine:
    """The queue of one process and the thread that writes; it takes the place of `Batcher` where answers are written.

    ``until`` is that of `Batcher`: it is asked before a request is queued, so that no answer changes its version.
    """

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        limits: Writing,
        on_batch: Callable[[int], None],
        until: Callable[[str, float], Awaitable[float]] = accept_always,
    ) -> None:
        self._roles, self._settings, self._limits = roles, settings, limits
        self._on_batch, self._until = on_batch, until
        self._requests, self._copies = deque[WrittenRow](), deque[WrittenRow]()
        self._groups: list[WritingGroup] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "inference")
        self._seconds_per_row = 1.0

    @property
    def waiting(self) -> int:
        """Number of request rows that wait or are being written."""
        return len(self._requests) + sum(not row.request.is_copy for row in self._running())

    async def answer(self, values: list[Any], role: Role) -> RequestAnswer:
        """Return the answers to the rows of one request.

        Raises:
            NotReadyError: no champion is loaded yet.
            QueueFullError: the queue has no room.
            InferenceError: the champion failed on a row.
            TimeLimitError: it took too long.
        """
        self._check_room(len(values))
        asked = time.monotonic()
        role, loaded = await self._choose(role, asked)
        if loaded.learner.task.measures_texts:
            return await self._measure(values, role, loaded)
        return await self._wait(self._queue(WritingRequest(values, role, loaded, asked=asked)))

    async def write(
        self,
        value: Any,
        role: Role,
        decoding: Decoding,
        matcher_of: Callable[[ServedModel], Matcher | None] = lambda loaded: None,
    ) -> OpenAnswer:
        """Return the answer to one value, which is being written; close it in any case.

        Args:
            value: as `ServedModel.encode` takes it.
            role: of the version that answers.
            decoding: how it is written.
            matcher_of: returns which form of answer a version's tokens must keep to; None: any.

        Raises:
            NotReadyError: no champion is loaded yet.
            QueueFullError: the queue has no room.
        """
        self._check_room(1)
        asked = time.monotonic()
        role, loaded = await self._choose(role, asked)
        request = WritingRequest(
            [value], role, loaded, decoding, matcher_of, may_end_early=True, pieces=asyncio.Queue(), asked=asked
        )
        return OpenAnswer(self._queue(request), self._wake.set)

    async def copy(
        self, values: list[Any], loaded: ServedModel, like: WritingRequest | None = None
    ) -> RequestAnswer | None:
        """Return another version's answers, begun when no request waits, or None if too many copies wait.

        They are written as that of ``like`` is; None: as those of `answer` are.
        """
        if len(self._copies) + len(values) > COPIES_WAITING:
            return None
        if like is None and loaded.learner.task.measures_texts:
            return await self._measure(values, "shadow", loaded)
        request = WritingRequest(values, "shadow", loaded, is_copy=True)
        if like is not None:
            request.decoding, request.matcher_of, request.may_end_early = like.decoding, like.matcher_of, True
        return await self._wait(self._queue(request))

    async def _measure(self, values: list[Any], role: Role, loaded: ServedModel) -> RequestAnswer:
        """Return how probable a version holds texts: they are read between two steps, and nothing is written.

        Raises:
            InferenceError: the version failed.
        """
        began = time.monotonic()
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, _read_texts, loaded, values)
        except Exception as error:
            log.exception("version %s could not read a text", loaded.version)
            why = f"version {loaded.version} could not answer; the server's log says why"
            raise InferenceError(loaded.version, why) from error
        return RequestAnswer(loaded, role, answers, time.monotonic() - began, None)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            admitted = self._admit()
            if not admitted and not self._groups:
                self._wake.clear()
                await self._wake.wait()
                continue
            try:
                done = await asyncio.get_running_loop().run_in_executor(self._thread, self._advance, admitted)
            except Exception as error:
                rows = {id(row): row for row in (*admitted, *self._running())}
                done, self._groups = [Progress(row, error=error) for row in rows.values()], []
            self._hand_out(done)

    def close(self) -> None:
        """Stop the thread after its current step."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _check_room(self, rows: int) -> None:
        if self._roles().champion is None:
            raise NotReadyError("no champion is loaded yet")
        if self.waiting and self.waiting + rows > self._settings.queue_rows:
            raise QueueFullError(seconds_to_retry(self.waiting, self._seconds_per_row))

    async def _choose(self, role: Role, asked: float) -> tuple[Role, ServedModel]:
        """Return the version that answers a request: one that was the champion when it came, or since."""
        while True:
            roles = self._roles()
            if role == "canary" and roles.canary is not None:
                return role, roles.canary
            champion = roles.champion
            if champion is None:
                raise NotReadyError("no champion is loaded yet")
            if asked <= await self._until(champion.version, asked) or self._roles().champion is champion:
                return "champion", champion

    def _queue(self, request: WritingRequest) -> WritingRequest:
        (self._copies if request.is_copy else self._requests).extend(request.rows)
        self._wake.set()
        return request

    async def _wait(self, request: WritingRequest) -> RequestAnswer:
        try:
            await request.future
        finally:
            request.gone = True  # no more than that if it is complete
        return request.answer()

    def _running(self) -> list[WrittenRow]:
        return [row for group in self._groups for row in group.rows if not row.has_ended]

    def _admit(self) -> list[WrittenRow]:
        """Return the rows that join now: as many as there is room for, requests before copies."""
        running = self._running()
        room, admitted, characters = self._settings.rows - len(running), list[WrittenRow](), 0
        copies = sum(row.request.is_copy for row in running)
        for queue in (self._requests, self._copies):
            while queue and len(admitted) < room and characters < CHARACTERS:
                if queue is self._copies and copies >= COPIED_ROWS:
                    break
                row = queue.popleft()
                if row.has_ended:
                    continue
                if row.request.is_copy:
                    row.request.asked = time.monotonic()  # it had to wait for the requests
                elif time.monotonic() > row.request.asked + self._limits.seconds:
                    self._fail(row.request, TimeLimitError(self._limits.seconds))
                    continue
                characters += characters_in(row.value)
                copies += row.request.is_copy
                admitted.append(row)
        return admitted

    def _advance(self, admitted: list[WrittenRow]) -> list[Progress]:
        """Take rows that join, and write a token of every row; runs in the engine's thread."""
        limit, done = self._limits.seconds, list[Progress]()
        for group in self._groups:
            group.drop_ended()
        self._groups = [group for group in self._groups if group.rows]
        for group in self._groups:
            self._on_batch(len(group.rows))
            done += group.step(limit)
        for rows in _by_version(admitted):
            readable = _read_prompts(rows, done)
            if not readable:
                continue
            fitting = [group for group in self._groups if group.takes(rows[0])]
            group = fitting[0] if fitting else WritingGroup.of(rows[0])
            if not fitting:
                self._groups.append(group)
            group.drop_ended()
            done += group.join(readable, limit)
        return done

    def _hand_out(self, done: list[Progress]) -> None:
        for progress in done:
            row, request = progress.row, progress.row.request
            if request.gone or request.future.done() or not any(row is own for own in request.rows):
                continue
            if progress.error is not None:
                self._fail(request, progress.error)
                continue
            if progress.text and request.pieces is not None:
                request.handed_out = True
                request.pieces.put_nowait(progress.text)
            if all(own.finish for own in request.rows):
                request.settle()
                took = time.monotonic() - request.asked
                self._seconds_per_row += MEMORY * (took / max(1, self.waiting) - self._seconds_per_row)

    def _fail(self, request: WritingRequest, error: Exception) -> None:
        """Let the champion answer in place of a canary that failed before it said anything, or report the error."""
        version, champion = request.loaded.version, self._roles().champion
        for row in request.rows:
            row.dropped = True
        if isinstance(error, TimeLimitError | FormError):  # no fault of the version
            request.settle(error)
            return
        expected = isinstance(error, PerennialError)
        log.error("version %s could not answer a row: %s", version, error, exc_info=None if expected else error)
        if request.role == "canary" and champion is not None and not request.handed_out:
            request.failed = version
            request.begin_again("champion", champion)
            self._queue(request)
            return
        why = str(error) if expected else f"version {version} could not answer; the server's log says why"
        request.settle(InferenceError(version, why))


def _read_texts(loaded: ServedModel, values: list[Any]) -> list[RowAnswer]:
    return loaded.answer(values, loaded.encode(values))


def _by_version(rows: list[WrittenRow]) -> list[list[WrittenRow]]:
    """Return rows by the version that answers them."""
    parts: dict[int, list[WrittenRow]] = {}
    for row in rows:
        parts.setdefault(id(row.request.loaded), []).append(row)
    return list(parts.values())


def _read_prompts(rows: list[WrittenRow], done: list[Progress]) -> list[WrittenRow]:
    """Tokenise the prompts of rows, and return the rows where that went well."""
    readable = []
    for row in rows:
        try:
            (encoded,) = row.request.loaded.encode([row.value])
            row.read(encoded.context.prompt)
            readable.append(row)
        except Exception as error:
            done.append(Progress(row, error=error))
    return readable
