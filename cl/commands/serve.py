"""`cl serve`: the workers of the server, and what each of them is made of."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cl.config import Config
from cl.errors import InputError, PerennialError
from cl.monitoring.notices import Notice
from cl.monitoring.webhook import post
from cl.serving.server import MOST_WORKERS, PROJECT, WORKERS, run, share_metrics
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    from fastapi import FastAPI
from cl.serving.server import end_with_the_parent

log = logging.getLogger(__name__)


def serve(folder: Path, *, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve a project until interrupted; what is None is as the configuration says.

    Raises:
        InputError: the configuration is wrong, or the address cannot be listened on.
    """
    import uvicorn

    at = open_project(folder)
    settings = at.config.serve
    count = workers or settings.workers or min(MOST_WORKERS, os.cpu_count() or 1)
    _check(at)
    os.environ[PROJECT], os.environ[WORKERS] = str(at.project.root), str(count)
    share_metrics(at, count)
    uvicorn_config = uvicorn.Config(
        "cl.commands.serve:application",
        factory=True,
        host=host or settings.host,
        port=settings.port if port is None else port,
        workers=count,
        http="cl.serving.http_connection:HttpConnection",
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
    run(uvicorn_config)


def _check(at: OpenProject) -> None:
    """Refuse what every worker would refuse, before there are any."""
    from cl.serving.auth import read_tokens
    from cl.serving.pii import build_redactor

    read_tokens(at.config.serve.tokens)
    build_redactor(at.config.serve.log.redact)
    for name in ("certificate", "key"):
        path = _path(at, getattr(at.config.serve.tls, name))
        if path is not None and not Path(path).is_file():
            raise InputError(f"serve.tls.{name}: {path}: no such file")


def _path(at: OpenProject, path: str | None) -> str | None:
    return None if path is None else str((at.project.root / path).resolve())


def application() -> FastAPI:
    """Return one worker's application, for the project that the environment names."""
    from cl.serving.app import create_app
    from cl.serving.worker import ServingWorker

    logging.getLogger("cl.serving").setLevel(logging.INFO)
    end_with_the_parent()
    at = open_project(Path(os.environ[PROJECT]))
    tell, withdraw = partial(_tell, at.config), partial(_withdraw_canary, at)
    return create_app(
        ServingWorker(at.config, at.stores, workers=int(os.environ[WORKERS]), tell=tell, withdraw=withdraw)
    )


def _withdraw_canary(at: OpenProject, why: str) -> None:
    """Take the canary's alias away; where that cannot be, it is asked no more here alone."""
    from cl.promotion.by_hand import withdraw

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
    bounds = config.triggers.notify
    try:
        if bounds.webhook:
            post(bounds, notice)
        if bounds.block:
            from flows.notifications import through_block  # Prefect, which a server needs for its blocks alone

            through_block(bounds.block, notice)
    except PerennialError as error:
        log.warning("not told: %s", error)
