"""Prefect's temporary server, started while this process still imports what the flow needs.

Prefect would start it when a client first asks, and import the whole server into this process for that.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import prefect
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings

from cl.errors import StoreError
from cl.process.progress import stage

ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect itself sets for it."""
NOT_NEEDED = {
    # a block brings its type with it when it is saved, and a permanent server registers all that Prefect has
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    # nothing here is scheduled, paused, or late, and automations belong to a permanent server
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
}
"""Settings of a permanent server that would only delay this one; what the user has set is kept."""
PAUSE = 0.05
SECONDS_TO_STOP = 5.0
TRIES = 3
"""Another program may take the port before the server does."""


class TemporaryServer:
    """A server of this process, in a process group of its own; it ends with this process at the latest.

    Ctrl-C in a terminal signals the whole group of the run. A server that it stops as well can no longer hear that
    the run has stopped, which Prefect then tries to report for more than a minute.
    """

    _current: ClassVar[TemporaryServer | None] = None

    def __init__(self) -> None:
        """Start it, and do not wait for it."""
        self._process = self._start()
        atexit.register(self.stop)  # Prefect delivers what it still holds before: it registers later

    @classmethod
    def begin(cls) -> TemporaryServer | None:
        """Start the server if none is configured and none runs, and return it, or None if one is configured."""
        if get_current_settings().api.url:
            return None
        if cls._current is None or cls._current._process.poll() is not None:
            cls._current = TemporaryServer()
        return cls._current

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Wait until it answers, and let this block's flows report to it.

        Raises:
            StoreError: it did not start.
        """
        with stage("start Prefect's temporary server"):
            self._wait()
        with temporary_settings({PREFECT_API_URL: self.url}):
            yield

    @property
    def url(self) -> str:
        """Return the address of its API."""
        return f"http://127.0.0.1:{self.port}/api"

    def stop(self) -> None:
        """End it; it has written to its database what it has confirmed."""
        self._process.terminate()
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        with contextlib.closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        folder = str(Path(prefect.__file__).parent)
        command = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "--factory"]
        command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--log-level", "error", "--lifespan", "on"]
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        environment = {**NOT_NEEDED, **os.environ, **ENVIRONMENT, **settings}
        return subprocess.Popen(command, env=environment, process_group=0)

    def _wait(self) -> None:
        seconds = get_current_settings().server.ephemeral.startup_timeout_seconds
        deadline, tries, reason = time.monotonic() + seconds, 1, f"it did not answer within {seconds} seconds"
        with httpx.Client(trust_env=False) as client:  # no proxy is asked for a server on this machine
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(f"{self.url}/health").is_success:
                        return
                if (code := self._process.poll()) is not None:
                    reason = f"its process ended with code {code}"
                    if tries == TRIES:
                        break
                    tries, self._process = tries + 1, self._start()
                time.sleep(PAUSE)
        raise StoreError(
            f"Prefect's temporary server did not start ({reason}); run with --plain or set PREFECT_API_URL"
        )
