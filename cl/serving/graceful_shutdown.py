"""Graceful shutdown: on SIGTERM report not ready, keep serving, then stop accepting connections."""

from __future__ import annotations

import asyncio
import signal
import time
from types import FrameType
from typing import Any

AGAIN_SECONDS = 1.0
"""Seconds in which a signal counts once: a service manager sends it to the workers and to their parent, which passes it
on."""


class GracefulShutdown:
    """Delays uvicorn's reaction to SIGTERM by ``seconds``.

    Meanwhile load balancers see that the server is not ready, and each answer closes its connection, so that no request
    is in transit when connections are cut. Uvicorn then waits for the requests in progress.
    """

    def __init__(self, seconds: float) -> None:
        self._begun: dict[int, float] = {}
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
            if received not in self._begun:
                self._begun[received] = time.monotonic()
                loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, received, None)
            elif time.monotonic() - self._begun[received] > AGAIN_SECONDS:
                stop(received, frame)

        if callable(stop):
            signal.signal(number, begin)
