"""The application of one worker: the routes behind the guard, started and stopped with the process.

FastAPI and uvicorn, and no inference server (TorchServe is archived; Triton, KServe and BentoML batch and scale, but
take a model as it is deployed): none of them follows an alias of the registry, checks a manifest, routes a canary by
key or joins labels that come later to what it answered, and all of that is the larger part of this folder.
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
from cl.serving.errors import on_http, on_invalid, on_refused
from cl.serving.middleware import RequestGuard
from cl.serving.routes import router
from cl.serving.web.page import router as page
from cl.serving.worker import ServingWorker


def create_app(service: ServingWorker) -> FastAPI:
    """Return the application: the routes of the API, and the page at /."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = FastAPI(
        title=f"{service.config.name}, served by Perennial",
        description="Answers by the version that the registry's alias `champion` points to.",
        version=__version__,
        lifespan=life,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(router)
    app.include_router(page)
    app.add_exception_handler(PerennialError, on_refused)
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
    return app
