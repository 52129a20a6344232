"""Error responses: a status and one line that says what was wrong, in MLflow's format."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from cl.errors import PerennialError, StoreError
from cl.serving.batching.batcher import NotReadyError, QueueFullError

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "INVALID_PARAMETER_VALUE",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
SHOWN = 5


class RequestError(PerennialError):
    """A rejected request and its HTTP status."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error response."""
    content = to_json({"error_code": CODES.get(status, "ERROR"), "message": message})
    return Response(content, status, headers, media_type="application/json")


async def on_expected_error(request: Request, error: Exception) -> Response:
    """Answer an expected error of this package."""
    if isinstance(error, RequestError):
        return refusal(error.status, str(error), error.headers)
    if isinstance(error, QueueFullError):
        return refusal(429, str(error), {"Retry-After": str(error.seconds)})
    if isinstance(error, NotReadyError | StoreError):
        return refusal(503, str(error), {"Retry-After": "2"})
    return refusal(500, str(error))


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer a body that does not match the schema, without repeating its content."""
    assert isinstance(error, RequestValidationError)
    lines = [_describe(detail) for detail in error.errors()]
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return refusal(422, "; ".join(lines[:SHOWN]) + more)


async def on_http(request: Request, error: Exception) -> Response:
    """Answer errors of the framework: unknown path, wrong method, invalid JSON."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail), dict(error.headers or {}))


def _describe(error: Any) -> str:
    location = ".".join(str(part) for part in error["loc"] if part != "body")
    text = str(error["msg"]).removeprefix("Value error, ")
    return (f"{location}: {text}" if location else text).encode(errors="replace").decode()
