"""`cl serve`: start the server, and build the application of each worker."""

from __future__ import annotations

import logging
import os
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cl.config import Config
from cl.config.serving import ServingSettings
from cl.errors import InputError, PerennialError
from cl.monitoring.notices import Notice
from cl.monitoring.webhook import post
from cl.process.processors import count_processors
from cl.serving.port_holder import PROJECT
from cl.serving.server import HOST, MOST_WORKERS, WORKERS, run_workers, share_metrics
from cl.serving.supervisor import FINISH_SECONDS
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)


def serve(folder: Path, *, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve a project until interrupted; None takes the configured value.

    Raises:
        InputError: the configuration is wrong, or the server cannot listen on the address.
        PerennialError: no worker could start.
    """
    import uvicorn

    project = open_project(folder)
    settings = project.config.serve
    count = _count_workers(settings, workers)
    _check_settings(project)
    _check_tagger(project)
    listens_on = host or settings.host
    os.environ |= {PROJECT: str(project.project.root), WORKERS: str(count), HOST: listens_on}
    uvicorn_config = uvicorn.Config(
        "cl.commands.serve:application",
        factory=True,
        host=listens_on,
        port=settings.port if port is None else port,
        workers=count,
        http="cl.serving.http_connection:HttpConnection",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        log_config=None,  # the workers' own, without passwords
        timeout_keep_alive=75,
        timeout_graceful_shutdown=FINISH_SECONDS,
        backlog=1024,
        ssl_certfile=_resolve_path(project, settings.tls.certificate),
        ssl_keyfile=_resolve_path(project, settings.tls.key),
    )
    # not before the port is held: another server of this project may be writing its metrics
    prepare = partial(share_metrics, project, count)
    run_workers(uvicorn_config, project.project, drain=settings.drain_seconds, prepare=prepare)


def _count_workers(settings: ServingSettings, asked: int | None) -> int:
    """Return the number of processes: a single one where another server computes."""
    if settings.engine.name == "local":
        return asked or settings.workers or min(MOST_WORKERS, count_processors())
    if (asked or 1) > 1:
        raise InputError(f"--workers {asked}: with serve.engine {settings.engine.name} there is one; leave it out")
    return 1


def _check_settings(project: OpenProject) -> None:
    """Check the settings that every worker reads, before any worker starts."""
    from cl.serving.auth import read_tokens
    from cl.serving.pii import build_redactor

    read_tokens(project.config.serve.tokens)
    build_redactor(project.config.serve.log.redact)
    for name in ("certificate", "key"):
        path = _resolve_path(project, getattr(project.config.serve.tls, name))
        if path is not None and not Path(path).is_file():
            raise InputError(f"serve.tls.{name}: {path}: no such file")


def _check_tagger(project: OpenProject) -> None:
    """Check that the tagger is one, before any worker starts; its versions are followed later."""
    if project.config.pipeline.tagger is not None:
        from cl.registry.tagger import fetch_tagger

        fetch_tagger(project.config, project.stores)


def _resolve_path(project: OpenProject, path: str | None) -> str | None:
    return None if path is None else str((project.project.root / path).resolve())


def application() -> FastAPI:
    """Return one worker's application for the project named by the environment."""
    from cl.serving.app import create_app
    from cl.serving.worker import ServingWorker

    logging.getLogger("cl.serving").setLevel(logging.INFO)
    project = open_project(Path(os.environ[PROJECT]))
    deliver, withdraw = partial(_deliver, project.config), partial(_withdraw_canary, project)
    workers = int(os.environ[WORKERS])
    worker = ServingWorker(project.config, project.stores, workers=workers, tell=deliver, withdraw=withdraw)
    return create_app(worker, listens_on=os.environ[HOST])


def _withdraw_canary(project: OpenProject, why: str) -> None:
    """Withdraw the canary's alias; if that fails, only this server stops sending it requests."""
    from cl.promotion.by_hand import withdraw

    try:
        with project.project.lock():
            withdraw(project.stores.registry, project.stores.ledger, "canary", why=why)
    except PerennialError as error:
        log.warning("the canary keeps its alias, but gets no more requests from this server: %s", error)


def _deliver(config: Config, notice: Notice) -> None:
    """Deliver a notice in the background; a failure is logged."""
    bounds = config.triggers.notify
    if notice.about in bounds.about and (bounds.webhook or bounds.block):
        threading.Thread(target=_send, args=(config, notice), name="notice", daemon=True).start()


def _send(config: Config, notice: Notice) -> None:
    bounds = config.triggers.notify
    try:
        if bounds.webhook:
            post(bounds, notice)
        if bounds.block:
            from flows.notifications import through_block  # imports Prefect, needed only for blocks

            through_block(bounds.block, notice)
    except PerennialError as error:
        log.warning("notice not delivered: %s", error)
