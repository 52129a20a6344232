"""Let a vLLM server write: prompts are encoded here, as in training, and answers are read token by token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, nullcontext
from typing import Any

from cl.config.serving import Batching, Writing
from cl.models.grammar import AnswerForm, FormError
from cl.serving.batching.batcher import COPIED_ROWS, COPIES_WAITING, accept_always
from cl.serving.served_model import ServedModel
from cl.serving.traffic_split import RequestAnswer, Role, TrafficSplit
from cl.serving.vllm.client import Chunk, VllmClient, VllmError
from cl.serving.vllm.versions import VllmVersions
from cl.serving.writing.groups import Progress, TimeLimitError
from cl.serving.writing.rows import WritingRequest, WrittenRow
from cl.serving.writing.writer import Writer

BAD_REQUEST, NOT_FOUND = 400, 404


class VllmEngine(Writer):
    """Passes the rows of requests on to a vLLM server, which batches them.

    Args:
        roles: which version has which role.
        settings: how many rows may wait.
        limits: of an answer.
        client: of the server.
        versions: on the server.
        until: as for `Writer`.
    """

    def __init__(
        self,
        roles: Callable[[], TrafficSplit],
        settings: Batching,
        limits: Writing,
        client: VllmClient,
        versions: VllmVersions,
        until: Callable[[str, float], Awaitable[float]] = accept_always,
    ) -> None:
        super().__init__(roles, settings, limits, until)
        self._client, self._versions = client, versions
        self._tasks: dict[WritingRequest, asyncio.Task[None]] = {}
        self._few = asyncio.Semaphore(COPIED_ROWS)
        self._tokenising = ThreadPoolExecutor(1, "tokenising")  # tokenizers are stateful

    @property
    def waiting(self) -> int:
        """Number of request rows that wait or are being written."""
        return sum(len(request.rows) for request in self._tasks if not request.is_copy)

    async def run(self) -> None:
        """Keep the connections until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in list(self._tasks.values()):
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._client.aclose()

    def close(self) -> None:
        """Close what `run` does not."""
        self._tokenising.shutdown(wait=True, cancel_futures=True)
        self._client.close()

    async def _measure(self, values: list[Any], role: Role, loaded: ServedModel) -> RequestAnswer:
        raise AssertionError("the configuration refuses such tasks")

    def _queue(self, request: WritingRequest) -> WritingRequest:
        self._versions.begin(request.loaded.version)
        task = asyncio.ensure_future(self._answer(request, request.loaded.version))
        self._tasks[request] = task
        task.add_done_callback(lambda _: self._tasks.pop(request, None) if self._tasks.get(request) is task else None)
        return request

    def _stop(self, request: WritingRequest) -> None:
        if task := self._tasks.get(request):
            task.cancel()

    def _has_room_for_copies(self, rows: int) -> bool:
        waiting = sum(len(request.rows) for request in self._tasks if request.is_copy)
        return waiting + rows <= COPIES_WAITING

    async def _answer(self, request: WritingRequest, version: str) -> None:
        """Write all rows of a request, each as a completion of its own."""
        try:
            async with self._few if request.is_copy else nullcontext():
                if request.is_copy:
                    request.asked = time.monotonic()  # it had to wait for others
                async with asyncio.TaskGroup() as group:
                    for row in request.rows:
                        group.create_task(self._write_row(row))
        except ExceptionGroup as errors:
            self._fail(request, errors.exceptions[0])
        finally:
            if self._versions.end(version):
                await asyncio.to_thread(self._versions.unload, version)

    async def _write_row(self, row: WrittenRow) -> None:
        request = row.request
        loop = asyncio.get_running_loop()
        (encoded,) = await loop.run_in_executor(self._tokenising, request.loaded.encode, [row.value])
        row.read(encoded.context.prompt)
        error = TimeLimitError(self._limits.seconds)
        try:
            async with asyncio.timeout_at(loop.time() + request.asked + self._limits.seconds - time.monotonic()):
                await self._read_stream(row)
        except TimeoutError:
            if not row.tokens:
                raise error from None
            row.end_at_limit(error)
            self._tell(row, "")

    async def _read_stream(self, row: WrittenRow) -> None:
        """Read a completion to its end; a version that the server has lost is loaded again, once."""
        request, body = row.request, self._body(row)
        for attempt in (1, 2):
            try:
                async with aclosing(self._client.stream(body)) as chunks:
                    async for chunk in chunks:
                        self._take(row, chunk)
                        if row.finish is not None:
                            return
                break
            except VllmError as error:
                if error.status == BAD_REQUEST and request.form is not None:
                    raise FormError(f"no answer can be written in this form: {error}") from None
                if error.status != NOT_FOUND or row.tokens or attempt == 2:
                    raise
                await asyncio.to_thread(self._versions.bring_back, request.loaded.version)
        raise VllmError(200, f"the vLLM server at {self._client.url} ended an answer without saying why")

    def _take(self, row: WrittenRow, chunk: Chunk) -> None:
        """Take the tokens of a chunk, and hand out what is sure of their text."""
        text = ""
        for token, own in zip(chunk.tokens, chunk.logs, strict=True):
            if row.finish is None:
                text += row.add(token)
                row.weigh(own)
        if row.finish is None and chunk.finish is not None:
            row.finish = "length" if chunk.finish == "length" else "stop"
        self._tell(row, text)

    def _tell(self, row: WrittenRow, text: str) -> None:
        row.request.seconds = time.monotonic() - row.request.asked
        self._hand_out([Progress(row, text + row.end() if row.finish else text)])

    def _body(self, row: WrittenRow) -> dict[str, Any]:
        request, decoding = row.request, row.request.decoding
        return {
            "model": self._versions.name(request.loaded.version),
            "prompt": row.prompt,
            "max_tokens": row.limit,
            "temperature": decoding.temperature,
            "top_p": decoding.top_p,
            "stop": list(decoding.stop),
            "stop_token_ids": request.loaded.learner.ends,
            **({} if decoding.seed is None else {"seed": decoding.seed}),
            **_form(request.form),
        }


def _form(form: AnswerForm | None) -> dict[str, Any]:
    """Return what asks vLLM for an answer of a form."""
    if form is None:
        return {}
    return {"structured_outputs": {"json": form.schema} if form.schema is not None else {"choice": list(form.choices)}}
