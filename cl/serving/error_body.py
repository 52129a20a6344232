"""The body of an error response: MLflow's format, with a message of one bounded line."""

from __future__ import annotations

from pydantic_core import to_json

CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    421: "MISDIRECTED_REQUEST",
    422: "INVALID_PARAMETER_VALUE",
    429: "RESOURCE_EXHAUSTED",
    431: "REQUEST_HEADER_FIELDS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
OPENAI_PATHS = "/v1/"
"""What the paths of OpenAI's routes begin with."""
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
CHARACTERS = 500
"""Most characters of an error message."""


def one_line(message: str) -> str:
    r"""Return a message as one line of at most `CHARACTERS` characters, all of which can be encoded.

    >>> one_line("no champion\nis loaded")
    'no champion is loaded'
    """
    line = " ".join(message[: 2 * CHARACTERS].encode(errors="replace").decode().split())
    return line if len(line) <= CHARACTERS else f"{line[: CHARACTERS - 1]}…"


def error_body(status: int, message: str) -> bytes:
    """Return the JSON of an error response."""
    return to_json({"error_code": CODES.get(status, "ERROR"), "message": one_line(message)})


def openai_error_body(status: int, message: str) -> bytes:
    """Return the JSON of an error response as OpenAI's clients expect it."""
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    code = {401: "invalid_api_key", 404: "not_found"}.get(status)
    return to_json({"error": {"message": one_line(message), "type": kind, "param": None, "code": code}})
