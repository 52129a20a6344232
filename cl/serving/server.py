"""The processes of the server: uvicorn's workers, and the parent that supervises them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from cl.errors import InputError
from cl.serving.shared_port import share_port
from cl.serving.supervisor import HUNG_SECONDS, STOP_SECONDS, Supervisor

if TYPE_CHECKING:
    import uvicorn

    from cl.stores.opened import OpenProject

MOST_WORKERS = 4
"""Default limit, as each worker holds the models in its own memory."""
PROJECT, WORKERS, HOST = "CL_SERVE_PROJECT", "CL_SERVE_WORKERS", "CL_SERVE_HOST"
"""Environment variables that give the worker processes the project, the number of workers and the address."""


def run_workers(
    uvicorn_config: uvicorn.Config, *, drain: float, hung: float = HUNG_SECONDS, stop: float = STOP_SECONDS
) -> None:
    """Serve until interrupted.

    Args:
        uvicorn_config: of the server.
        drain: seconds after a signal for which the workers still answer.
        hung: seconds without an answer after which a worker is replaced.
        stop: seconds after ``drain`` after which a worker that still runs is killed.

    Raises:
        InputError: the server cannot listen on the address.
        PerennialError: no worker could start.
    """
    with _bind(uvicorn_config) as listener:
        host, port = listener.getsockname()[:2]
        scheme = "https" if uvicorn_config.is_ssl else "http"
        workers = f"{uvicorn_config.workers} worker(s)"
        print(f"{scheme}://{host}:{port}: serving with {workers} until interrupted", flush=True)
        Supervisor(uvicorn_config, listener, drain=drain, hung=hung, stop=stop).run()


def _bind(uvicorn_config: uvicorn.Config) -> Any:
    try:
        return share_port(uvicorn_config.bind_socket())
    except (SystemExit, OSError):
        raise InputError(
            f"{uvicorn_config.host}:{uvicorn_config.port}: cannot listen on this address: another program may use it; "
            "choose another --port, or another --host"
        ) from None


def share_metrics(opened: OpenProject, workers: int) -> None:
    """Give several workers a shared folder for their metrics; call it before importing prometheus_client."""
    if workers == 1:
        return
    folder = opened.project.work / "serving" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
