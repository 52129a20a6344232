"""A stop without a dropped request: from SIGTERM the server is not ready, answers still, and then listens no more."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import Any


class GracefulShutdown:
    """What uvicorn does at once on SIGTERM, `seconds` later.

    In between, whoever routes traffic sees that the server is not ready, and each answer closes its connection, so
    that no request is on its way over one when it is cut. Uvicorn then waits for the requests that it has begun.
    """

    def __init__(self, seconds: float) -> None:
        self._begun: set[int] = set()
        self._seconds = seconds

    @property
    def begun(self) -> bool:
        """Whether the server has been told to stop."""
        return bool(self._begun)

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take the place of the signal handlers; a second signal of a kind stops at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._arm(number, signal.getsignal(number), loop)

    def _arm(self, number: signal.Signals, stop: Any, loop: asyncio.AbstractEventLoop) -> None:
        def begin(received: int, frame: FrameType | None) -> None:
            if received in self._begun:
                stop(received, frame)
            else:
                self._begun.add(received)
                loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, received, None)

        if callable(stop):
            signal.signal(number, begin)
