"""Graceful shutdown: on SIGTERM report not ready, keep serving, then stop accepting connections."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType
from typing import Any


class GracefulShutdown:
    """Delays uvicorn's reaction to SIGTERM by ``seconds``.

    Meanwhile load balancers see that the server is not ready, and each answer closes its connection, so that no request
    is in transit when connections are cut. Uvicorn then waits for the requests in progress.
    """

    def __init__(self, seconds: float) -> None:
        self._begun: set[int] = set()
        self._seconds = seconds

    @property
    def begun(self) -> bool:
        """Whether the server has received a stop signal."""
        return bool(self._begun)

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Replace the signal handlers; the second signal of the same kind stops at once."""
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
