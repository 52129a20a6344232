"""The parent of the workers: it replaces one that ended or hangs, and ends all of them in bounded time.

Uvicorn's own parent asks a thread of each worker, which answers although the event loop hangs; it hears no signal while
it waits for the answer; and it waits for the workers' end without end. Here the event loop of each worker counts up in
shared memory, which its parent reads without waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
from ctypes import c_ulong
from multiprocessing import get_context, parent_process
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawValue
from types import FrameType
from typing import TYPE_CHECKING, Any

from cl.errors import PerennialError
from cl.redaction import Formatter

if TYPE_CHECKING:
    import uvicorn

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two looks at the workers."""
BEAT = 0.5
"""Seconds between two beats of an event loop."""
HUNG_SECONDS = 20.0
"""Seconds without a beat after which a worker is replaced. A body of 2 MB takes an event loop less than one."""
START_SECONDS = 300.0
"""The same for a worker that starts: it imports much, on a machine that may be busy."""
RESTART_SECONDS = 5.0
"""Least seconds between two starts of a worker that ends while it starts."""
FINISH_SECONDS = 15
"""Seconds for requests in progress, after the connections are no longer accepted."""
STOP_SECONDS = 20.0
"""Seconds after the drain time, after which a worker that still runs is killed: for requests and then the log."""
LAST_WORDS = 0.5
"""Seconds in which a hung worker writes down where each of its threads is."""


class Supervisor:
    """Runs the workers of a server until SIGTERM or SIGINT; the seconds are those of `run_workers`."""

    def __init__(
        self, uvicorn_config: uvicorn.Config, listener: Any, *, drain: float, hung: float, stop: float
    ) -> None:
        self._config, self._listener = uvicorn_config, listener
        self._drain, self._hung, self._stop = drain, hung, stop
        self._workers: list[_Worker] = []
        self._signals, self._has_served = 0, False

    def run(self) -> None:
        """Start the workers, replace those that end or hang, and end all when a signal comes.

        Raises:
            PerennialError: no worker could start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        try:
            for _ in range(self._config.workers):
                self._workers.append(self._started())
            while not self._signals:
                time.sleep(TICK)
                self._has_served |= any(worker.has_started for worker in self._workers)
                self._workers = [self._tended(worker) for worker in self._workers]
        finally:
            self._end()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _started(self) -> _Worker:
        return _Worker(self._config, self._listener, self._drain + self._stop)

    def _tended(self, worker: _Worker) -> _Worker:
        """Return the worker, or the one that takes its place."""
        if worker.alive:
            limit = self._hung if worker.has_started else START_SECONDS
            if worker.silence() < limit:
                return worker
            log.error("worker %d did not answer for %g s and is replaced", worker.pid, limit)
            worker.kill()
        elif not worker.has_started:
            if not self._has_served:
                raise PerennialError("no worker could start; the lines above say why")
            if worker.silence() < RESTART_SECONDS:
                return worker
            log.error("worker %d ended with %s while it started, and is replaced", worker.pid, worker.exit_code)
        else:
            log.error("worker %d ended with %s and is replaced", worker.pid, worker.exit_code)
        return self._started()

    def _end(self) -> None:
        """Ask all workers to stop; kill those that still run when their time is over."""
        deadline, asked = time.monotonic() + self._drain + self._stop, 0
        while any(worker.alive for worker in self._workers) and time.monotonic() < deadline:
            while asked < max(1, self._signals):  # the second signal ends the drain time, as it does for a worker
                asked += 1
                for worker in self._workers:
                    worker.terminate()
            time.sleep(TICK / 5)
        for worker in self._workers:
            if worker.alive:
                log.error("worker %d did not stop in time and was killed", worker.pid)
                worker.kill()


class _Worker:
    """A process with the beats of its event loop."""

    def __init__(self, uvicorn_config: uvicorn.Config, listener: Any, stop: float) -> None:
        self._beats = RawValue(c_ulong, 0)
        self._seen, self._silence = 0, 0.0
        arguments = (uvicorn_config, listener, self._beats, stop, logging.getLogger().level)
        self._process: SpawnProcess = get_context("spawn").Process(target=run_worker, args=arguments, name="worker")
        self._process.start()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    @property
    def has_started(self) -> bool:
        """Whether it takes requests, or did."""
        return self._beats.value > 0

    def silence(self) -> float:
        """Return the seconds since the last beat; call it once a tick.

        Counted are ticks: while the parent is stopped itself, the time of its workers does not run.
        """
        beats = self._beats.value
        self._silence = self._silence + TICK if beats == self._seen else 0.0
        self._seen = beats
        return self._silence

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """Let it write down where each of its threads is, and end it whatever it does."""
        if self.has_started and hasattr(signal, "SIGUSR1") and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)
            self._process.join(LAST_WORDS)
        self._process.kill()
        self._process.join()


def run_worker(uvicorn_config: uvicorn.Config, listener: Any, beats: Any, stop: float, level: int) -> None:
    """Serve in this process until a signal comes or the parent ends.

    Args:
        uvicorn_config: of the server.
        listener: the socket.
        beats: counts up while the event loop turns.
        stop: seconds from a signal to the end, after which a worker without a parent ends itself.
        level: of the log.
    """
    _log_as_the_parent(level)
    uvicorn_config.configure_logging()
    if hasattr(faulthandler, "register"):
        faulthandler.register(signal.SIGUSR1, all_threads=True)  # written without Python, whatever holds it up
    _end_with_the_parent(stop)
    try:
        with asyncio.Runner(loop_factory=uvicorn_config.get_loop_factory()) as runner:
            runner.run(_serve(uvicorn_config, listener, beats))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        log.error("%s", error, exc_info=not isinstance(error, PerennialError))
        sys.exit(1)


def _log_as_the_parent(level: int) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs whole URLs, and a webhook's contains a token


async def _serve(uvicorn_config: uvicorn.Config, listener: Any, beats: Any) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[Any] | None = None) -> None:
            await super().startup(sockets)
            beats.value = 1  # before the first request, which may be the last

    async def beat() -> None:
        while True:
            beats.value += beats.value > 0
            await asyncio.sleep(BEAT)

    beating = asyncio.ensure_future(beat())
    await Server(uvicorn_config).serve(sockets=[listener])
    beating.cancel()


def _end_with_the_parent(stop: float) -> None:
    """Stop this worker when its parent process dies; otherwise it would hold the port forever."""
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(stop)
        print(f"worker {os.getpid()} did not stop in time", file=sys.stderr, flush=True)
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()
