"""Parallel runs, each in its own process: peak memory is measured per run, and a crash ends only one run."""

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

from cl.backtesting.run import Outcome, RunSpec, read_finished, run
from cl.errors import PerennialError

FORKED = multiprocessing.get_context("forkserver")
IMPORTED = ["cl.backtesting.run", "cl.drift.detect", "cl.registry.register", "cl.training.train"]
"""Modules that the fork server imports once for all runs; it computes nothing itself."""


def run_all(specs: list[RunSpec], jobs: int, *, on_tick: Callable[[], None]) -> list[Outcome]:
    """Run all specs in parallel and return their outcomes in the same order.

    Args:
        specs: the runs.
        jobs: parallel processes.
        on_tick: called every second, and when a run has ended.

    Raises:
        PerennialError: it was interrupted; all processes are ended, and finished experiences are kept.
    """
    outcomes: dict[int, Outcome] = {}
    running: dict[Connection, tuple[int, ForkServerProcess]] = {}
    coming = iter(enumerate(specs))
    FORKED.set_forkserver_preload(IMPORTED)
    try:
        while len(outcomes) < len(specs):
            with _ignore_interrupts():
                for index, spec in itertools.islice(coming, jobs - len(running)):
                    process, receiver = _start(spec)
                    running[receiver] = index, process
            for receiver in cast(list[Connection], wait(list(running), timeout=1.0)):
                index, process = running[receiver]
                outcomes[index] = _receive_outcome(specs[index], process, receiver)
                del running[receiver]
            on_tick()
    except KeyboardInterrupt:
        raise PerennialError("interrupted; run it again to resume after the last finished experience") from None
    finally:
        for _, process in running.values():
            process.kill()
        for _, process in running.values():
            process.join()
    return [outcomes[index] for index in range(len(specs))]


def _start(spec: RunSpec) -> tuple[ForkServerProcess, Connection]:
    receiver, sender = FORKED.Pipe(duplex=False)
    process = FORKED.Process(target=_work, args=(spec, sender))
    process.start()
    sender.close()  # now only the run holds the sending end: if it dies, receiving fails
    return process, receiver


def _work(spec: RunSpec, sender: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sender.send(run(spec))


def _end_with_parent() -> None:
    """End this process when its parent is gone: nobody would read its outcome."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _receive_outcome(spec: RunSpec, process: ForkServerProcess, receiver: Connection) -> Outcome:
    try:
        result: Outcome = receiver.recv()
        return result
    except EOFError:
        process.join()
        why = (
            f"its process ended with exit code {process.exitcode}, perhaps out of memory; run the backtest again to "
            "resume after the last finished experience, with --jobs 1 to use less memory"
        )
        return Outcome(spec=spec, lines=read_finished(spec), failure=why)
    finally:
        receiver.close()


@contextlib.contextmanager
def _ignore_interrupts() -> Iterator[None]:
    """Start processes in this block that ignore a terminal's Ctrl-C: the parent ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
