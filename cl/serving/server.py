"""The server's processes: uvicorn, its workers, and what each of them is made of."""

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
"""Unless more are asked for: each holds the models in its own memory."""


PROJECT = "CL_SERVE_PROJECT"


WORKERS = "CL_SERVE_WORKERS"
"""Where the workers, which are processes of their own, find the project and their number."""


def end_with_the_parent() -> None:
    """Let a worker stop when the process that looks after it has died: it would hold the port for ever."""
    parent = parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="parent", daemon=True).start()


def run(uvicorn_config: Any) -> None:
    """Serve until interrupted, in one process or several.

    Raises:
        InputError: the address cannot be listened on.
    """
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    listening = _listening(uvicorn_config)
    host, port = listening.getsockname()[:2]
    scheme = "https" if uvicorn_config.is_ssl else "http"
    print(f"{scheme}://{host}:{port}: serves with {uvicorn_config.workers} worker(s) until interrupted", flush=True)
    if uvicorn_config.workers > 1:
        Multiprocess(uvicorn_config, sockets=[listening]).run()
        return
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(uvicorn_config).run(sockets=[listening])


def _listening(uvicorn_config: Any) -> Any:
    try:
        taken = uvicorn_config.bind_socket()
        return share_port(taken) if uvicorn_config.workers > 1 else taken
    except (SystemExit, OSError):
        raise InputError(f"{uvicorn_config.host}:{uvicorn_config.port}: cannot be listened on") from None


def share_metrics(at: OpenProject, workers: int) -> None:
    """Give several workers a folder for their counts; it is read before prometheus_client is imported."""
    if workers == 1:
        return
    folder = at.project.work / "serving" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
