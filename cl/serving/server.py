"""The processes of the server: uvicorn and its workers."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
from multiprocessing import parent_process
from typing import TYPE_CHECKING, Any

from cl.errors import InputError
from cl.serving.shared_port import share_port
from cl.stores.opened import OpenProject

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


MOST_WORKERS = 4
"""Default limit, as each worker holds the models in its own memory."""


PROJECT = "CL_SERVE_PROJECT"


WORKERS = "CL_SERVE_WORKERS"
"""Environment variables that give the worker processes the project and the number of workers."""


def end_with_the_parent() -> None:
    """Stop this worker when its parent process dies; otherwise it would hold the port forever."""
    parent = parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="parent", daemon=True).start()


def run(uvicorn_config: Any) -> None:
    """Serve until interrupted, in one or several processes.

    Raises:
        InputError: the server cannot listen on the address.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    listener = _bind(uvicorn_config)
    host, port = listener.getsockname()[:2]
    scheme = "https" if uvicorn_config.is_ssl else "http"
    print(f"{scheme}://{host}:{port}: serving with {uvicorn_config.workers} worker(s) until interrupted", flush=True)
    if uvicorn_config.workers > 1:
        Multiprocess(uvicorn_config, sockets=[listener]).run()
        return
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn_config).run(sockets=[listener])


def _bind(uvicorn_config: Any) -> Any:
    try:
        bound = uvicorn_config.bind_socket()
        return share_port(bound) if uvicorn_config.workers > 1 else bound
    except (SystemExit, OSError):
        raise InputError(f"{uvicorn_config.host}:{uvicorn_config.port}: cannot listen on this address") from None


def share_metrics(opened: OpenProject, workers: int) -> None:
    """Give several workers a shared folder for their metrics; call it before importing prometheus_client."""
    if workers == 1:
        return
    folder = opened.project.work / "serving" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
