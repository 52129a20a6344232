"""`cl serve`: the workers of the server, and what each of them is made of."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import threading
from functools import partial
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.commands.opening import Opened, opened
from cl.config import Config
from cl.errors import InputError, PerennialError
from cl.reports.notices import Notice
from cl.serving.port import shared

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)
MOST_WORKERS = 4
"""Unless more are asked for: each holds the models in its own memory."""
PROJECT = "CL_SERVE_PROJECT"
WORKERS = "CL_SERVE_WORKERS"
"""Where the workers, which are processes of their own, find the project and their number."""


def serve(folder: Path, *, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve a project until interrupted; what is None is as the configuration says.

    Raises:
        InputError: the configuration is wrong, or the address cannot be listened on.
    """
    import uvicorn

    at = opened(folder)
    settings = at.config.serve
    count = workers or settings.workers or min(MOST_WORKERS, os.cpu_count() or 1)
    _check(at)
    os.environ[PROJECT], os.environ[WORKERS] = str(at.project.root), str(count)
    _share_metrics(at, count)
    uvicorn_config = uvicorn.Config(
        "cl.commands.serve:application",
        factory=True,
        host=host or settings.host,
        port=settings.port if port is None else port,
        workers=count,
        http="cl.serving.connection:Connection",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_worker_healthcheck=60,
        backlog=1024,
        ssl_certfile=_path(at, settings.tls.certificate),
        ssl_keyfile=_path(at, settings.tls.key),
    )
    _run(uvicorn_config)


def application() -> FastAPI:
    """Return one worker's application, for the project that the environment names."""
    from cl.serving.app import create_app
    from cl.serving.service import Service

    logging.getLogger("cl.serving").setLevel(logging.INFO)
    _end_with_the_parent()
    at = opened(Path(os.environ[PROJECT]))
    tell, withdraw = partial(_tell, at.config), partial(_withdraw_canary, at)
    return create_app(Service(at.config, at.stores, workers=int(os.environ[WORKERS]), tell=tell, withdraw=withdraw))


def _end_with_the_parent() -> None:
    """Let a worker stop when the process that looks after it has died: it would hold the port for ever."""
    parent = parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, name="parent", daemon=True).start()


def _run(uvicorn_config: Any) -> None:
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
        return shared(taken) if uvicorn_config.workers > 1 else taken
    except (SystemExit, OSError):
        raise InputError(f"{uvicorn_config.host}:{uvicorn_config.port}: cannot be listened on") from None


def _check(at: Opened) -> None:
    """Refuse what every worker would refuse, before there are any."""
    from cl.serving.redaction import redactor
    from cl.serving.tokens import tokens_from

    tokens_from(at.config.serve.tokens)
    redactor(at.config.serve.log.redact)
    for name in ("certificate", "key"):
        path = _path(at, getattr(at.config.serve.tls, name))
        if path is not None and not Path(path).is_file():
            raise InputError(f"serve.tls.{name}: {path}: no such file")


def _path(at: Opened, path: str | None) -> str | None:
    return None if path is None else str((at.project.root / path).resolve())


def _share_metrics(at: Opened, workers: int) -> None:
    """Give several workers a folder for their counts; it is read before prometheus_client is imported."""
    if workers == 1:
        return
    folder = at.project.work / "serving" / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)


def _withdraw_canary(at: Opened, why: str) -> None:
    """Take the canary's alias away; where that cannot be, it is asked no more here alone."""
    from cl.promote import withdraw

    try:
        with at.project.lock():
            withdraw(at.stores.registry, at.stores.ledger, "canary", why=why)
    except PerennialError as error:
        log.warning("the canary keeps its alias, and is asked no more here: %s", error)


def _tell(config: Config, notice: Notice) -> None:
    """Deliver a notice beside the work; one that cannot be delivered is logged."""
    bounds = config.triggers.notify
    if notice.about in bounds.about and (bounds.webhook or bounds.block):
        threading.Thread(target=_send, args=(config, notice), name="notice", daemon=True).start()


def _send(config: Config, notice: Notice) -> None:
    from flows.notifications import send

    try:
        send(config.triggers.notify, notice)
    except PerennialError as error:
        log.warning("not told: %s", error)
