"""The Prefect server that flows report to: there before the first step, or one line that says it is not."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from cl.errors import StoreError


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
