"""Reads of projects in threads, so that a slow project keeps only those waiting who ask for it, and not for long."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from typing import TypeVar

from cl.serving.errors import RequestError

T = TypeVar("T")
SECONDS = 8.0
"""For which a request waits for a project."""
AGAIN_SECONDS = 0.5
"""For which a later request waits for a read that has already been slow."""
AT_ONCE = 8
"""Reads at the same time; one that is slow gives its place to another after `SECONDS`."""
MOST_SLOW = 3
"""Slow reads of one project, beyond which no other of it is begun."""


class ProjectReads:
    """The reads that are under way; the same read is made once, however many ask for it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._under_way: dict[Hashable, asyncio.Future[object]] = {}
        self._slow: set[Hashable] = set()
        self._slow_of: Counter[str] = Counter()
        self._free = asyncio.Semaphore(AT_ONCE)

    async def read(self, project: str, kind: Hashable, function: Callable[[], T]) -> T:
        """Return what the function returns, called in a thread.

        Args:
            project: the project's key.
            kind: what is read of it: with the project, it names the read.
            function: reads it; it may take any time.

        Raises:
            RequestError: 503, it takes too long; it goes on, and a later request gets its result.
        """
        name = (project, kind)
        if name in self._slow:
            return await self._wait(name, self._under_way[name], AGAIN_SECONDS)  # type: ignore[return-value]
        if self._slow_of[project] >= MOST_SLOW:
            raise _too_slow(self._seconds)
        async with self._free:
            future = self._under_way.get(name) or self._begin(name, function)
            try:
                return await self._wait(name, future, self._seconds)  # type: ignore[return-value]
            except RequestError:
                if name in self._under_way and name not in self._slow:
                    self._slow.add(name)
                    self._slow_of[project] += 1
                raise

    async def _wait(self, name: Hashable, future: asyncio.Future[object], seconds: float) -> object:
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            if future.done():  # the project's own error, which may be of this type
                raise
            raise _too_slow(self._seconds) from None

    def _begin(self, name: tuple[str, Hashable], function: Callable[[], object]) -> asyncio.Future[object]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[object] = loop.create_future()
        self._under_way[name] = future

        def finish(result: object, error: BaseException | None) -> None:
            self._under_way.pop(name, None)
            if name in self._slow:
                self._slow.discard(name)
                self._slow_of[name[0]] -= 1
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
                future.exception()  # nobody may be waiting any more

        def run() -> None:
            try:
                result, error = function(), None
            except Exception as raised:
                result, error = None, raised
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, result, error)

        threading.Thread(target=run, name=f"read {name[0]}", daemon=True).start()  # daemon: it may never end
        return future


def _too_slow(seconds: float) -> RequestError:
    return RequestError(
        503,
        f"this project has not answered within {seconds:g} s; it is still being read, try again",
        {"Retry-After": "5"},
    )
