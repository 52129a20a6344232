"""Connect to the Prefect server that flows report to; an unreachable server is a one-line error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from cl.errors import InputError, PerennialError, StoreError

MEMORY = "prefect.server.concurrency.lease_storage.memory"


def ensure_reachable() -> None:
    """Make sure that the configured server answers.

    Raises:
        StoreError: it does not.
    """
    problem: BaseException | None
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except (OSError, RuntimeError) as error:
        problem = error
    if problem is None:
        return
    reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
    url = get_current_settings().api.url
    raise StoreError(f"no Prefect server answers at {url} ({reason}); correct PREFECT_API_URL or run with --plain")


def reach_named() -> str:
    """Make sure that the server at PREFECT_API_URL answers, and return its URL.

    Raises:
        InputError: PREFECT_API_URL is not set; the temporary server supports neither schedules nor events.
        StoreError: the server does not answer.
    """
    url = get_current_settings().api.url
    if not url:
        raise InputError(
            "schedules and triggers need a permanent Prefect server: `prefect server start`, "
            "then PREFECT_API_URL=http://127.0.0.1:4200/api cl schedule"
        )
    ensure_reachable()
    return url


def await_server(pause: float = 5.0) -> None:
    """Wait until the server answers again."""
    while True:
        try:
            with get_client(sync_client=True) as client:
                if client.api_healthcheck() is None:
                    return
        except (OSError, RuntimeError, httpx.HTTPError):
            pass
        time.sleep(pause)


def is_unreachable(error: BaseException) -> bool:
    """Return whether an error means that the server is unreachable, as opposed to a rejected request.

    Prefect wraps connection errors in its own, so the cause of an error counts as well.
    """
    match error:
        case BaseExceptionGroup():
            return all(is_unreachable(inner) for inner in error.exceptions)
        case httpx.HTTPStatusError():
            return error.response.is_server_error
        case PerennialError():
            return False
        case RuntimeError() if "error threshold" in str(error):  # raised by Prefect's runner when it gives up
            return True
        case httpx.TransportError():
            return True
    wrapped = _raised_from(error)
    return wrapped is not None and is_unreachable(wrapped)


def to_store_error(error: BaseException) -> StoreError | None:
    """Return the server's rejection of a request as a one-line error, or None for any other error."""
    if isinstance(error, BaseExceptionGroup):
        return next((refused for inner in error.exceptions if (refused := to_store_error(inner))), None)
    if isinstance(error, httpx.HTTPStatusError):
        answer = " ".join(error.response.text.split())[:300]
        request = f"{error.request.method} {error.request.url.path}"
        return StoreError(f"the Prefect server refuses {request} ({error.response.status_code}): {answer}")
    wrapped = None if isinstance(error, PerennialError) else _raised_from(error)
    return to_store_error(wrapped) if wrapped else None


@contextmanager
def translate_server_errors() -> Iterator[None]:
    """Turn rejected requests and connection errors into one-line errors.

    Raises:
        StoreError: the server is unreachable or rejects a request.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise to_store_error(error) or error from None
    except httpx.TransportError as error:
        raise StoreError(f"the Prefect server is unreachable ({type(error).__name__}); try again") from None


def _raised_from(error: BaseException) -> BaseException | None:
    return error.__cause__ or error.__context__  # a JSON decoder hides its context: a proxy's page instead of JSON


def loses_leases() -> bool:
    """Return whether the server forgets on restart which runs hold a slot (Prefect's default)."""
    try:
        with get_client(sync_client=True) as client:
            settings = client.request("GET", "/admin/settings").json()
        result: bool = settings["server"]["concurrency"]["lease_storage"] == MEMORY
        return result
    except (httpx.HTTPError, KeyError, TypeError, ValueError):
        return False
