"""The Prefect server that flows report to: there before the first step, or one line that says it is not."""

from __future__ import annotations

import time

import httpx
from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from cl.errors import InputError, StoreError

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


def forgetful() -> bool:
    """Tell whether the server forgets, when it restarts, which runs hold a slot (Prefect's default)."""
    try:
        with get_client(sync_client=True) as client:
            settings = client.request("GET", "/admin/settings").json()
        return settings["server"]["concurrency"]["lease_storage"] == MEMORY
    except (httpx.HTTPError, KeyError, TypeError, ValueError):
        return False
