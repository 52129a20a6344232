"""Continuous batching: requests share the steps of a model, and join and leave between two of them.

A step writes one token of every row, whichever version answers it, as long as the versions share a base. It is computed
in a thread that leaves the event loop free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cl.config.serving import Batching, Writing
from cl.models.decoding import Decoding
from cl.models.grammar import AnswerForm, Matchers
from cl.serving.batching.batcher import COPIED_ROWS, COPIES_WAITING, InferenceError, accept_always
from cl.serving.batching.queue import characters_in
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit
from cl.serving.writing.groups import Progress, TimeLimitError, WritingGroup
from cl.serving.writing.rows import WritingRequest, WrittenRow
from cl.serving.writing.writer import OpenAnswer, Writer

log = logging.getLogger(__name__)

CHARACTERS = 4_096
"""Most characters of prompts that are read between two steps, but for a single longer one: the others wait for it."""


class WritingEngine(Writer):
    """The queue of one process and the thread in which its models write; ``on_batch`` gets the rows of each step."""

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        limits: Writing,
        on_batch: Callable[[int], None],
        until: Callable[[str, float], Awaitable[float]] = accept_always,
    ) -> None:
        super().__init__(roles, settings, limits, until)
        self._on_batch, self._matchers = on_batch, Matchers()
        self._requests, self._copies = deque[WrittenRow](), deque[WrittenRow]()
        self._groups: list[WritingGroup] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "inference")

    @property
    def waiting(self) -> int:
        """Number of request rows that wait or are being written."""
        return len(self._requests) + sum(not row.request.is_copy for row in self._running())

    async def write(self, value: Any, role: Role, decoding: Decoding, form: AnswerForm | None = None) -> OpenAnswer:
        """Return the answer to one value; see `Writer.write`. Its form is compiled before it is queued."""
        if form is not None:
            await asyncio.to_thread(form.compile)
        return await super().write(value, role, decoding, form)

    async def _measure(self, values: list[Any], role: Role, loaded: ServedModel) -> RequestAnswer:
        """Return how probable a version holds texts, which are read between two steps."""
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

    def _queue(self, request: WritingRequest) -> WritingRequest:
        (self._copies if request.is_copy else self._requests).extend(request.rows)
        self._wake.set()
        return request

    def _stop(self, request: WritingRequest) -> None:
        self._wake.set()

    def _has_room_for_copies(self, rows: int) -> bool:
        return len(self._copies) + rows <= COPIES_WAITING

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
            readable = self._read_prompts(rows, done)
            if not readable:
                continue
            fitting = [group for group in self._groups if group.takes(rows[0])]
            group = fitting[0] if fitting else WritingGroup.of(rows[0])
            if not fitting:
                self._groups.append(group)
            group.drop_ended()
            done += group.join(readable, limit)
        return done

    def _read_prompts(self, rows: list[WrittenRow], done: list[Progress]) -> list[WrittenRow]:
        """Tokenise the prompts of rows, and return the rows where that went well."""
        readable = []
        for row in rows:
            try:
                (encoded,) = row.request.loaded.encode([row.value])
                form = row.request.form
                matcher = self._matchers.of(row.request.loaded.learner, form.grammar) if form else None
                row.read(encoded.context.prompt, matcher)
                readable.append(row)
            except Exception as error:
                done.append(Progress(row, error=error))
        return readable


def _read_texts(loaded: ServedModel, values: list[Any]) -> list[RowAnswer]:
    return loaded.answer(values, loaded.encode(values))


def _by_version(rows: list[WrittenRow]) -> list[list[WrittenRow]]:
    """Return rows by the version that answers them."""
    parts: dict[int, list[WrittenRow]] = {}
    for row in rows:
        parts.setdefault(id(row.request.loaded), []).append(row)
    return list(parts.values())
