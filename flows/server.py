"""The Prefect server that flows report to: there before the first step, or one line that says it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from cl.errors import InputError, PerennialError, StoreError

MEMORY = "prefect.server.concurrency.lease_storage.memory"


def reach() -> None:
    """Make sure that a server answers; the temporary local one is started where none is named.

    Raises:
        StoreError: no server answers.
    """
    named = get_current_settings().api.url
    try:
        with get_client(sync_client=True) as client:
            problem = client.api_healthcheck()
    except (OSError, RuntimeError) as error:
        problem = error
    if problem is None:
        return
    told = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
    if named:
        raise StoreError(f"no Prefect server answers at {named} ({told}); correct PREFECT_API_URL, or run with --plain")
    raise StoreError(f"Prefect's temporary server did not start ({told}); run with --plain, or name a server")


def reach_named() -> str:
    """Make sure that the server that PREFECT_API_URL names answers, and return its address.

    Raises:
        InputError: none is named: the temporary server knows no schedules and no events.
        StoreError: it does not answer.
    """
    named = get_current_settings().api.url
    if not named:
        raise InputError(
            "schedules and triggers need a Prefect server that stays: `prefect server start`, "
            "then PREFECT_API_URL=http://127.0.0.1:4200/api cl schedule"
        )
    reach()
    return named


def await_server(pause: float = 5.0) -> None:
    """Return once the server answers again."""
    while True:
        try:
            with get_client(sync_client=True) as client:
                if client.api_healthcheck() is None:
                    return
        except (OSError, RuntimeError, httpx.HTTPError):
            pass
        time.sleep(pause)


def away(error: BaseException) -> bool:
    """Tell whether an error means that the server is out of reach, not that it says no.

    Prefect wraps what the connection said in errors of its own, so what an error was raised from counts as well.
    """
    match error:
        case BaseExceptionGroup():
            return all(away(one) for one in error.exceptions)
        case httpx.HTTPStatusError():
            return error.response.is_server_error
        case PerennialError():
            return False
        case RuntimeError() if "error threshold" in str(error):  # what Prefect's runner says when it gives up
            return True
        case httpx.TransportError():
            return True
    wrapped = _raised_from(error)
    return wrapped is not None and away(wrapped)


def refusal(error: BaseException) -> StoreError | None:
    """Return what a server that says no has said, as one line; None where an error is of another kind."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := refusal(one))), None)
    if isinstance(error, httpx.HTTPStatusError):
        said = " ".join(error.response.text.split())[:300]
        asked = f"{error.request.method} {error.request.url.path}"
        return StoreError(f"the Prefect server refuses {asked} ({error.response.status_code}): {said}")
    wrapped = None if isinstance(error, PerennialError) else _raised_from(error)
    return refusal(wrapped) if wrapped else None


@contextmanager
def asked_in_a_line() -> Iterator[None]:
    """Turn what the server, or the way to it, says no to into one line.

    Raises:
        StoreError: the server went away, or refuses what it is asked.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise refusal(error) or error from None
    except httpx.TransportError as error:
        raise StoreError(f"the Prefect server went away ({type(error).__name__}); try again") from None


def _raised_from(error: BaseException) -> BaseException | None:
    return error.__cause__ or error.__context__  # a JSON decoder hides its context: a proxy's page in place of JSON


def forgetful() -> bool:
    """Tell whether the server forgets, when it restarts, which runs hold a slot (Prefect's default)."""
    try:
        with get_client(sync_client=True) as client:
            settings = client.request("GET", "/admin/settings").json()
        return settings["server"]["concurrency"]["lease_storage"] == MEMORY
    except (httpx.HTTPError, KeyError, TypeError, ValueError):
        return False
