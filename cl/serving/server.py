"""The processes of the server: uvicorn's workers, and the parent that supervises them."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from cl.errors import InputError
from cl.serving.announcement import announced, local_url
from cl.serving.port_holder import PORT, describe_holder
from cl.serving.readiness import announce_readiness
from cl.serving.shared_port import claim_port
from cl.serving.supervisor import HUNG_SECONDS, STOP_SECONDS, Supervisor
from cl.stores.project_folder import ProjectFolder

if TYPE_CHECKING:
    import uvicorn

    from cl.stores.opened import OpenProject

MOST_WORKERS = 4
"""Default limit, as each worker holds the models in its own memory."""
WORKERS, HOST = "CL_SERVE_WORKERS", "CL_SERVE_HOST"
"""Environment variables that give the worker processes the number of workers and the address."""
REASONS = {
    errno.EACCES: "this user may not listen on it; choose a port above 1023: --port",
    errno.EADDRNOTAVAIL: "this machine does not have this address; choose another: --host",
}


def run_workers(
    uvicorn_config: uvicorn.Config,
    project: ProjectFolder,
    *,
    drain: float,
    prepare: Callable[[], None] = lambda: None,
    hung: float = HUNG_SECONDS,
    stop: float = STOP_SECONDS,
) -> None:
    """Serve until interrupted.

    Args:
        uvicorn_config: of the server.
        project: whose server it is.
        drain: seconds after a signal for which the workers still answer.
        prepare: called when the port is held, before any worker starts.
        hung: seconds without an answer after which a worker is replaced.
        stop: seconds after ``drain`` after which a worker that still runs is killed.

    Raises:
        InputError: the server cannot listen on the address.
        PerennialError: no worker could start.
    """
    with _claim(uvicorn_config.host, uvicorn_config.port) as listener:
        host, port = listener.getsockname()[:2]
        os.environ[PORT] = str(port)
        prepare()
        scheme, shown = "https" if uvicorn_config.is_ssl else "http", f"[{host}]" if ":" in host else host
        url = f"{scheme}://{shown}:{port}"
        print(f"{url}: starting with {uvicorn_config.workers} worker(s); runs until interrupted", flush=True)
        local = local_url(scheme, host, port)
        announce_readiness(url, local)
        with announced(project, local):
            Supervisor(uvicorn_config, listener, drain=drain, hung=hung, stop=stop).run()


def _claim(host: str, port: int) -> socket.socket:
    try:
        return claim_port(host, port)
    except OSError as error:
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        raise InputError(f"{address}: cannot listen on this address: {_explain(error, port)}") from None


def _explain(error: OSError, port: int) -> str:
    """Return why a port cannot be had, and what to do."""
    if error.errno == errno.EADDRINUSE:
        holder = describe_holder(port)
        return f"it is in use{f' by {holder}' if holder else ''}; stop that, or choose another: --port"
    if isinstance(error, socket.gaierror):
        return "no such host; choose another: --host"
    return REASONS.get(error.errno or 0, str(error.strerror or error))


def share_metrics(opened: OpenProject, workers: int) -> None:
    """Give several workers a shared folder for their metrics; call it before importing prometheus_client."""
    if workers == 1:
        return
    folder = opened.project.work / "serving" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
