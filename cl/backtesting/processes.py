"""Runs side by side, each in a process of its own: so its peak memory is its own, and its end ends no other."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from typing import cast

from tqdm import tqdm

from cl.backtesting.run import Outcome, RunSpec, read_finished, run
from cl.errors import PerennialError

FORKED = multiprocessing.get_context("forkserver")
IMPORTED = ["cl.backtesting.run", "cl.drift.detect", "cl.registry.register", "cl.training.train"]
"""What each run needs: imported once for all, by the process that they are forked from, which computes nothing."""


def run_all(specs: list[RunSpec], jobs: int, *, on_tick: Callable[[], None]) -> list[Outcome]:
    """Return how each run ended, in their order, so many of them at once.

    Args:
        specs: the runs.
        jobs: processes at once.
        on_tick: called every second, and when a run has ended.

    Raises:
        PerennialError: a person stopped it; no process is left, and what was finished is kept.
    """
    outcomes: dict[int, Outcome] = {}
    running: dict[Connection, tuple[int, ForkServerProcess]] = {}
    coming = iter(enumerate(specs))
    FORKED.set_forkserver_preload(IMPORTED)
    try:
        while len(outcomes) < len(specs):
            with _deaf_to_interrupts():
                for at, spec in itertools.islice(coming, jobs - len(running)):
                    process, answer = _started(spec)
                    running[answer] = at, process
            for answer in cast(list[Connection], wait(list(running), timeout=1.0)):
                at, process = running[answer]
                outcomes[at] = _outcome(specs[at], process, answer)
                del running[answer]
            on_tick()
    except KeyboardInterrupt:
        raise PerennialError("stopped; run it again, and it goes on after the last finished experience") from None
    finally:
        for _, process in running.values():
            process.kill()
        for _, process in running.values():
            process.join()
    return [outcomes[at] for at in range(len(specs))]


def _started(spec: RunSpec) -> tuple[ForkServerProcess, Connection]:
    answer, teller = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_work, args=(spec, teller))
    process.start()
    teller.close()  # the run holds the other end alone: when it dies, this one says so
    return process, answer


def _work(spec: RunSpec, teller: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own, shared between processes, is told as leaked when this one is killed
    teller.send(run(spec))


def _end_with_parent() -> None:
    """End this process when the one that waits for it is gone: nobody would read what it finds."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _outcome(spec: RunSpec, process: ForkServerProcess, answer: Connection) -> Outcome:
    try:
        return answer.recv()
    except EOFError:
        process.join()
        why = (
            f"its process ended with exit code {process.exitcode}, perhaps for want of memory; run the backtest again, "
            "with --jobs 1 to take less: it goes on after the last finished experience"
        )
        return Outcome(spec=spec, lines=read_finished(spec), failure=why)
    finally:
        answer.close()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Within this block, processes are born that a terminal's Ctrl-C does not reach: who began them ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread hears an interrupt, or may say who does
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
