"""Error responses: a status and one line that says what was wrong."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cl.errors import PerennialError, StoreError
from cl.models.grammar import FormError
from cl.serving.batching.batcher import NotReadyError, QueueFullError
from cl.serving.error_body import OPENAI_PATHS, error_body, openai_error_body
from cl.serving.request_problems import describe_problems
from cl.serving.writing.groups import TimeLimitError


class RequestError(PerennialError):
    """A rejected request and its HTTP status."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}


def refusal(status: int, message: str, headers: dict[str, str] | None = None, *, path: str = "") -> Response:
    """Return an error response, on OpenAI's paths in OpenAI's form."""
    if path.startswith(OPENAI_PATHS):
        status = 400 if status == 422 else status
        return Response(openai_error_body(status, message), status, headers, media_type="application/json")
    return Response(error_body(status, message), status, headers, media_type="application/json")


async def on_expected_error(request: Request, error: Exception) -> Response:
    """Answer an expected error of this package."""
    path, (status, headers) = request.url.path, status_of(error)
    return refusal(status, str(error), headers, path=path)


def status_of(error: Exception) -> tuple[int, dict[str, str]]:
    """Return the HTTP status of an expected error, and the headers of its response."""
    if isinstance(error, RequestError):
        return error.status, error.headers
    if isinstance(error, FormError):
        return 422, {}
    if isinstance(error, QueueFullError):
        return 429, {"Retry-After": str(error.seconds)}
    if isinstance(error, NotReadyError | StoreError | TimeLimitError):
        return 503, {"Retry-After": "2"}
    return 500, {}


async def on_invalid(request: Request, error: Exception) -> Response:
    """Answer a body that does not match the schema, without repeating its content."""
    assert isinstance(error, RequestValidationError)
    return refusal(422, describe_problems(error.errors()), path=request.url.path)


async def on_http(request: Request, error: Exception) -> Response:
    """Answer errors of the framework: unknown path, wrong method, invalid JSON."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, str(error.detail), dict(error.headers or {}), path=request.url.path)
