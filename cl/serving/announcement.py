"""Where a project's server answers: announced while it runs, for commands on the same machine.

The server holds a lock meanwhile, which the kernel releases when the process ends, however it ends: a stale address is
never taken for a server, and no other program that listens there is sent a question or a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder

WAIT = 1.0
"""Seconds to wait for a command that is just looking."""


@contextmanager
def announced(project: ProjectFolder, url: str) -> Iterator[None]:
    """Announce a server while it runs; of several servers of one project, the first."""
    from filelock import FileLock, Timeout

    folder = project.work / "serving"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "running.lock")
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        yield
        return
    try:
        write_text(folder / "running", url)
        yield
    finally:
        (folder / "running").unlink(missing_ok=True)
        lock.release()


def running_server(project: ProjectFolder) -> str | None:
    """Return the URL of the project's server on this machine; None: none is running."""
    from filelock import FileLock, Timeout

    file = project.work / "serving" / "running"
    if not file.is_file():
        return None
    try:
        with FileLock(file.with_name("running.lock"), timeout=0):
            return None
    except Timeout:
        return file.read_text(encoding="utf-8").strip() or None
    except OSError:  # somebody who may only read here
        return None


def local_url(scheme: str, host: str, port: int) -> str:
    """Return the URL by which this machine reaches a server that listens on an address.

    >>> local_url("http", "0.0.0.0", 8000), local_url("http", "::", 8000), local_url("http", "10.0.0.7", 80)
    ('http://127.0.0.1:8000', 'http://[::1]:8000', 'http://10.0.0.7:80')
    """
    address = ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"
    return f"{scheme}://{host if address.version == 4 else f'[{host}]'}:{port}"
