"""The ASGI application of one worker: the routes behind the request guard, started and stopped with the process.

It is built on FastAPI and uvicorn rather than an inference server. TorchServe is archived; Triton, KServe and BentoML
batch and scale, but none of them follows a registry alias, checks a manifest, routes a canary by key or joins delayed
labels to predictions, which is most of this package.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from cl import __version__
from cl.errors import PerennialError
from cl.plugins import Capability
from cl.serving.answering_routes import add_answering_routes
from cl.serving.errors import on_expected_error, on_http, on_invalid
from cl.serving.hosts import AllowedHosts, HostCheck
from cl.serving.middleware import RequestGuard
from cl.serving.openai.routes import router as openai
from cl.serving.routes import router
from cl.serving.web.page import router as page
from cl.serving.worker import ServingWorker


def create_app(service: ServingWorker, *, listens_on: str) -> FastAPI:
    """Return the application: the API routes and the page at /.

    Args:
        service: what answers.
        listens_on: the address of the server, by which it may be called.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title=f"{service.config.name}, served by Perennial",
        description="Predictions of the version that the registry alias `champion` points to.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's page loads its scripts from another host
        redoc_url=None,
    )
    app.state.service = service
    add_answering_routes(app, service.task, finds_spans=service.tagger is not None)
    if Capability.WRITING in service.task.provides:
        app.include_router(openai)
    app.include_router(router)
    app.include_router(page)
    app.add_exception_handler(PerennialError, on_expected_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_middleware(
        RequestGuard,
        limits=service.settings.limits,
        tokens=service.tokens,
        draining=service.draining,
        metrics=service.metrics,
        live=service.live,
    )
    if service.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=service.settings.cors,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Key"],
            expose_headers=["X-Model-Version", "X-Model-Role", "Retry-After"],
        )
    hosts = AllowedHosts(listens_on, service.settings.allowed_hosts)
    app.add_middleware(HostCheck, hosts=hosts, metrics=service.metrics)
    return app
