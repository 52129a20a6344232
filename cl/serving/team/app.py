"""The ASGI application of `cl ui`: the routes behind the same guards as those of `cl serve`."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cl import __version__
from cl.config.serving import Limits
from cl.errors import BusyError, ConflictError, InputError, PerennialError, RefusedError, StoreError
from cl.redaction import as_line
from cl.serving.errors import RequestError, on_expected_error, on_http, on_invalid, refusal
from cl.serving.graceful_shutdown import GracefulShutdown
from cl.serving.hosts import AllowedHosts, HostCheck
from cl.serving.live_stats import LiveStats
from cl.serving.middleware import RequestGuard
from cl.serving.prometheus import Metrics
from cl.serving.team.page import router as page
from cl.serving.team.routes import Team, router
from cl.serving.team.same_origin import SameOrigin

OPEN = frozenset({"/", "/healthz", "/api/access", "/report"})
"""Paths that need no token: they show nothing of a project, or, for a report, the link holds a signature."""
LIMITS = Limits(body_bytes=20_000, requests_per_second=100)


def create_team_app(team: Team, *, listens_on: str, allowed_hosts: Sequence[str] = ()) -> FastAPI:
    """Return the application.

    Args:
        team: the folder, the tokens, and how a decision is recorded.
        listens_on: the address of the server, by which it may be called.
        allowed_hosts: other names that it may be called by, such as a proxy's.
    """
    app = FastAPI(title="Perennial", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.team = team
    app.include_router(router)
    app.include_router(page)
    app.add_exception_handler(PerennialError, on_team_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    metrics = Metrics()
    app.add_middleware(
        RequestGuard,
        limits=LIMITS,
        tokens=team.tokens,
        draining=GracefulShutdown(0),
        metrics=metrics,
        live=LiveStats(),
        open_paths=OPEN,
    )
    app.add_middleware(SameOrigin)
    hosts = AllowedHosts(listens_on, allowed_hosts, remedy="start `cl ui` with --allowed-host")
    app.add_middleware(HostCheck, hosts=hosts, metrics=metrics)
    return app


async def on_team_error(request: Request, error: Exception) -> Response:
    """Answer an expected error of this package: what a person gave is wrong, or the project is busy or has changed."""
    if isinstance(error, RequestError):
        return await on_expected_error(request, error)
    if isinstance(error, BusyError | ConflictError | RefusedError):
        status = 409
    else:
        status = 422 if isinstance(error, InputError) else 503 if isinstance(error, StoreError) else 500
    return refusal(status, as_line(error))
