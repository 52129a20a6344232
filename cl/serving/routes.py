"""The routes of every server, whatever its task: health, readiness and metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from cl.serving.batching.batcher import NotReadyError
from cl.serving.error_body import one_line
from cl.serving.schemas import (
    FailureResponse,
    ReadyResponse,
)
from cl.serving.worker import ServingWorker

router = APIRouter()
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FailureResponse, "description": description}
    for status, description in {
        400: "Invalid JSON, or not in the protocol's format",
        401: "Missing or unknown token",
        408: "The body did not arrive in time",
        413: "Too many bytes or texts, or too long a text",
        415: "Unsupported content type",
        421: "A host that serve.allowed_hosts does not have",
        422: "JSON that does not match the schema",
        429: "Too many requests; Retry-After says when to try again",
        431: "Too many headers",
        500: "The version could not answer; nobody gets its answer",
        503: "No champion is loaded yet, or labels cannot be written to the disk",
    }.items()
}


@router.get(
    "/ping",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}},
        503: {"content": {"application/json": {}}, "model": FailureResponse, "description": "No champion"},
    },
)
@router.get("/health", response_model=None, include_in_schema=False)
async def ping(request: Request) -> Response:
    """Report whether a champion is loaded, as MLflow's servers do."""
    if service_of(request).follower.roles.champion is None:
        raise NotReadyError("no champion is loaded yet")
    return Response(b"\n", media_type="text/plain")


@router.get("/version", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def version() -> Response:
    """Return the version of MLflow, whose protocol this server implements."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


@router.get("/healthz", response_model=None)
async def healthz() -> Response:
    """Report that the process is alive."""
    return Response(b'{"alive":true}', media_type="application/json")


@router.get(
    "/readyz", response_model=ReadyResponse, responses={503: {"model": ReadyResponse, "description": "Not ready"}}
)
async def readyz(request: Request) -> Response:
    """Report whether to route requests here: a champion is loaded and the server is not stopping."""
    service = service_of(request)
    roles, stopping = service.follower.roles, service.draining.begun
    failed = [failure for failure in list(service.follower.failed.values()) if failure.role == "champion"]
    why = _NOT_READY[service.follower.reachable]
    why = f"version {failed[0].version} cannot be loaded: {failed[0].why}" if failed else why
    why = "stopping" if stopping else why
    ready = roles.champion is not None and not stopping
    content = {
        "ready": ready,
        "champion": roles.champion and roles.champion.version,
        "canary": roles.canary and roles.canary.version,
        "shadow": roles.shadow and roles.shadow.version,
        "why": None if ready else one_line(why),
        "warning": service.by_ledger.warning,
    }
    return Response(to_json(content), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: REFUSALS[401]})
async def metrics(request: Request) -> Response:
    """Return all metrics in the Prometheus text format."""
    return Response(service_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


_NOT_READY = {None: "starting", True: "no champion yet", False: "the registry does not answer"}


def service_of(request: Request) -> ServingWorker:
    """Return what answers behind the routes of a request."""
    result: ServingWorker = request.app.state.service
    return result
