"""Ctrl-C, SIGTERM and SIGHUP: a command stops with one line, and leaves no process behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

import click

from cl.cli.options import show_error
from cl.errors import PerennialError
from cl.process.progress import close_reporter

STOPPED = "stopped"
REQUESTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SERVERS = ("schedule", "serve", "ui")
"""Commands that finish what they have begun when they are asked to stop, however long it takes."""
SECONDS_TO_STOP = 10
"""Until a command that was asked to stop is ended, whatever it does."""
SECONDS_TO_END = 5


class StoppedError(Exception):
    """A person or the system asked the command to stop."""


class StoppableGroup(click.Group):
    """A group whose commands end with `StoppedError` on Ctrl-C, which click itself would answer with `Aborted!`."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(context)
        except BaseException as error:
            if was_stopped(error) and not isinstance(error, PerennialError):  # whose line says more
                raise StoppedError from error
            raise


def was_stopped(error: BaseException | None) -> bool:
    """Return whether an error is, or follows from, a request to stop; Prefect raises one of its own in a flow."""
    while error is not None:
        if isinstance(error, StoppedError | KeyboardInterrupt | click.Abort):
            return True
        if type(error).__name__ == "TerminationSignal":
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def stops_when_asked() -> Iterator[None]:
    """Treat SIGTERM and the end of the terminal in this block like Ctrl-C; a server's own handlers replace these."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if not _in_main_thread():
        yield
        return
    default = [number for number in REQUESTS if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in default:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in default:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def stops_in_time() -> Iterator[None]:
    """End this process if it is asked to stop in this block and does not leave it within some seconds.

    A library may be deep in its own code, or wait for a server that the same request has stopped; and an exception that
    a signal raises in a destructor or in a callback goes no further.
    """
    if not _in_main_thread():
        yield
        return
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    left, shown = threading.Event(), sys.unraisablehook

    def watch() -> None:
        while request := receiver.recv(1):
            if request[0] in REQUESTS and not left.wait(SECONDS_TO_STOP):
                end_stopped()

    def notice(lost: sys.UnraisableHookArgs) -> None:
        if was_stopped(lost.exc_value):
            end_stopped()
        shown(lost)

    threading.Thread(target=watch, name="stop", daemon=True).start()
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)  # works whatever handlers there are
    sys.unraisablehook = notice
    try:
        yield
    finally:
        left.set()
        sys.unraisablehook = shown
        signal.set_wakeup_fd(before)
        sender.close()


def end_stopped(message: object = STOPPED) -> NoReturn:
    """End this process and all that it has started, with one line; nothing that libraries do at the end can hold it."""
    import psutil

    if _in_main_thread():
        for number in REQUESTS:
            signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL):
        children = psutil.Process().children(recursive=True)  # a thread may have started another one meanwhile
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.send_signal(number)
        psutil.wait_procs(children, timeout=SECONDS_TO_END)
    close_reporter()
    show_error(message)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(1)


def _in_main_thread() -> bool:
    """Return whether this is the main thread: only that one may set signal handlers."""
    return threading.current_thread() is threading.main_thread()
