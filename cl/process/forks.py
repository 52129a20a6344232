"""A process that holds the libraries and nothing else, forked before the work begins, so that no import is repeated.

A new interpreter spends seconds on imports before it does what it was started for. A process that is forked as soon as
its parent has imported the same modules, and before that has computed anything, holds what such an interpreter would
hold. It waits, and forks once more for each call: no call sees what another one has left.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

SECONDS_TO_END = 5.0
TICK = 0.05
"""Seconds between two looks at a call that runs."""
GLANCE = 2.0
"""Seconds between two looks at the parent, whose end closes the connection, if no other child of it has a copy."""
HARMLESS_THREADS = ("MainThread", "stop")
"""`cl.cli.interrupts` has a thread that only waits for a signal; any other one may hold a lock for ever in a fork."""


def can_fork() -> bool:
    """Return whether a fork of this process is safe: no other thread works here.

    Elsewhere than on Linux, system libraries do not survive a fork. A process that has computed must not be forked
    either, since its pools of threads do not survive; nobody but the caller knows.
    """
    threads = {thread.name for thread in threading.enumerate()}
    in_main = threading.current_thread() is threading.main_thread()
    return sys.platform == "linux" and in_main and threads <= set(HARMLESS_THREADS)


class CallTimeoutError(Exception):
    """A call took too long, and was ended."""


class ForkServerLostError(Exception):
    """The waiting process has died; the call may not have been made."""


class ForkServer:
    """A process forked from this one that waits for calls and makes each in a fork of its own.

    It ends when it is closed, and when this process ends in any way.
    """

    def __init__(self, work: Callable[[Path], None]) -> None:
        """Fork the process.

        Args:
            work: what a call does; an exception is its failure.
        """
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # or both processes would write what is left in the buffer
        self.pid = os.fork()
        if self.pid == 0:
            self._connection.close()
            _wait_for_calls(work, theirs)
        theirs.close()

    def call(self, folder: Path, errors: Path, seconds: float) -> int:
        """Make a call and return its exit code: 0, 1 after an exception, or the negative number of a signal.

        Args:
            folder: what the work is given.
            errors: file that gets what the call writes on standard error, its traceback last.
            seconds: how long it may take.

        Raises:
            CallTimeoutError: it took longer, and was killed.
            ForkServerLostError: the waiting process has died.
        """
        try:
            self._connection.send(json.dumps([str(folder), str(errors), seconds]).encode())
            answer = self._connection.recv(64)
        except OSError as error:
            raise ForkServerLostError from error
        if not answer:
            raise ForkServerLostError
        code = json.loads(answer)
        if code is None:
            raise CallTimeoutError
        return int(code)

    def close(self) -> None:
        """End the process, and the call that it is making."""
        self._connection.close()  # which it notices at once
        deadline = time.monotonic() + SECONDS_TO_END
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                if time.monotonic() > deadline:
                    os.kill(self.pid, signal.SIGKILL)
                    os.waitpid(self.pid, 0)
                    return
                time.sleep(0.01)


def _wait_for_calls(work: Callable[[Path], None], connection: socket.socket) -> NoReturn:
    """Make calls until the parent closes the connection or ends; never return into the parent's code."""
    try:
        parent = os.getppid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):  # the parent's; what nohup ignores stays ignored
                signal.signal(number, signal.SIG_DFL)
        gc.freeze()  # or the collector would copy every page that it looks at
        while os.getppid() == parent:
            if not select.select([connection], [], [], GLANCE)[0]:
                continue
            request = connection.recv(65536)
            if not request:
                break
            folder, errors, seconds = json.loads(request)
            pid = os.fork()
            if pid == 0:
                connection.close()
                _make_call(work, Path(folder), Path(errors))
            connection.send(json.dumps(_result(pid, connection, seconds)).encode())
    finally:
        os._exit(0)


def _result(pid: int, connection: socket.socket, seconds: float) -> int | None:
    """Return a call's exit code, or None if it was killed for taking too long; it ends with the parent, too."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        left = select.select([connection], [], [], TICK)[0]  # the parent says nothing before it has the answer
        if left or time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None


def _make_call(work: Callable[[Path], None], folder: Path, errors: Path) -> NoReturn:
    code = 1
    try:
        for target, path in ((0, os.devnull), (1, os.devnull), (2, str(errors))):
            os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), target)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1, errors="backslashreplace") for number in (1, 2))
        try:
            work(folder)
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)
