"""Error responses: a status and one line that says what was wrong."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cl.errors import PerennialError, StoreError
from cl.serving.batching.batcher import NotReadyError, QueueFullError
from cl.serving.error_body import error_body
from cl.serving.request_problems import describe_problems


class RequestError(PerennialError):
    """A rejected request and its HTTP status."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error response."""
    return Response(error_body(status, message), status, headers, media_type="application/json")


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
    return refusal(422, describe_problems(error.errors()))


async def on_http(request: Request, error: Exception) -> Response:
    """Answer errors of the framework: unknown path, wrong method, invalid JSON."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail), dict(error.headers or {}))
