"""What every way of writing answers has in common: which version answers, streams, copies and faults."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

from cl.config.serving import Batching, Writing
from cl.errors import PerennialError
from cl.models.decoding import Decoding
from cl.models.grammar import AnswerForm, FormError
from cl.serving.batching.batcher import MEMORY, InferenceError, NotReadyError, QueueFullError, accept_always
from cl.serving.served_model import ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit
from cl.serving.writing.groups import Progress, TimeLimitError, seconds_to_retry
from cl.serving.writing.rows import END, WritingRequest, WrittenRow

log = logging.getLogger(__name__)


class OpenAnswer:
    """An answer to one value while it is written; iterate over its pieces, and close it in any case."""

    def __init__(self, request: WritingRequest, stop: Callable[[], None]) -> None:
        self.request, self._stop = request, stop
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
            self._stop()


class Writer(ABC):
    """Writes the answers of one process; it takes the place of `Batcher` where answers are written.

    ``until`` is that of `Batcher`: it is asked before a request is queued, so that no answer changes its version.
    """

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        limits: Writing,
        until: Callable[[str, float], Awaitable[float]] = accept_always,
    ) -> None:
        self._roles, self._settings, self._limits, self._until = roles, settings, limits, until
        self._seconds_per_row = 1.0

    @property
    @abstractmethod
    def waiting(self) -> int:
        """Number of request rows that wait or are being written."""

    @abstractmethod
    async def run(self) -> None:
        """Write until cancelled."""

    @abstractmethod
    def close(self) -> None:
        """Stop writing; it may wait for a step."""

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

    async def write(self, value: Any, role: Role, decoding: Decoding, form: AnswerForm | None = None) -> OpenAnswer:
        """Return the answer to one value, which is being written; close it in any case.

        Args:
            value: as `ServedModel.encode` takes it.
            role: of the version that answers.
            decoding: how it is written.
            form: what the answer must be; None: any text.

        Raises:
            NotReadyError: no champion is loaded yet.
            QueueFullError: the queue has no room.
            FormError: no answer can be written in the form.
        """
        self._check_room(1)
        asked = time.monotonic()
        role, loaded = await self._choose(role, asked)
        request = WritingRequest(
            [value], role, loaded, decoding, form, may_end_early=True, pieces=asyncio.Queue(), asked=asked
        )
        return OpenAnswer(self._queue(request), partial(self._stop, request))

    async def copy(
        self, values: list[Any], loaded: ServedModel, like: WritingRequest | None = None
    ) -> RequestAnswer | None:
        """Return another version's answers, begun when no request waits, or None if too many copies wait.

        They are written as that of ``like`` is; None: as those of `answer` are.
        """
        if not self._has_room_for_copies(len(values)):
            return None
        if like is None and loaded.learner.task.measures_texts:
            return await self._measure(values, "shadow", loaded)
        request = WritingRequest(values, "shadow", loaded, is_copy=True)
        if like is not None:
            request.decoding, request.form, request.may_end_early = like.decoding, like.form, True
        return await self._wait(self._queue(request))

    @abstractmethod
    async def _measure(self, values: list[Any], role: Role, loaded: ServedModel) -> RequestAnswer:
        """Return how probable a version holds texts, for a task that measures them; nothing is written.

        Raises:
            InferenceError: the version failed.
        """

    @abstractmethod
    def _queue(self, request: WritingRequest) -> WritingRequest:
        """Begin to write the rows of a request, now or when there is room, and return it."""

    @abstractmethod
    def _stop(self, request: WritingRequest) -> None:
        """Write no more of a request that nobody waits for."""

    @abstractmethod
    def _has_room_for_copies(self, rows: int) -> bool:
        """Return whether so many more rows may wait as copies."""

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

    async def _wait(self, request: WritingRequest) -> RequestAnswer:
        try:
            await request.future
        finally:
            request.gone = True  # no more than that if it is complete
        return request.answer()

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
        if isinstance(error, TimeLimitError | FormError | NotReadyError):  # no fault of the version
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
