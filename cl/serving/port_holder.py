"""Who holds a port, for the message that says why a server cannot have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

PROJECT, PORT = "CL_SERVE_PROJECT", "CL_SERVE_PORT"
"""Environment variables of a worker: its project and its port."""


def describe_holder(port: int) -> str | None:
    """Return which server or program holds a port; None: this user cannot see it.

    A server that starts does not listen yet, so its workers are known by their environment.
    """
    import psutil

    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(PORT) == str(port):
                return f"`cl serve` of the project {environment.get(PROJECT)}, process {_supervisor(process).pid}"
        except psutil.Error:  # of another user, or ended meanwhile
            continue
    try:
        listening = [each for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        pid = next((each.pid for each in listening if each.laddr.port == port and each.pid), None)
        return None if pid is None else f"{psutil.Process(pid).name()}, process {pid}"
    except psutil.Error:
        return None


def _supervisor(worker: psutil.Process) -> psutil.Process:
    """Return the process that supervises a worker; the worker itself if that has died."""
    parent = worker.parent()
    return parent if parent is not None and "serve" in parent.cmdline() else worker
