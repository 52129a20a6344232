"""Prefect's temporary server, out of reach of the signals that stop the run which it serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import prefect
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect itself sets for it."""


class TemporaryServer(SubprocessASGIServer):
    """Prefect's temporary server in a process group of its own.

    Ctrl-C in a terminal signals the whole group of the run. A server that it stops as well can no longer hear that
    the run has stopped, which Prefect then tries to report for more than a minute.
    """

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        folder = str(Path(prefect.__file__).parent)
        command = [sys.executable, "-m", "uvicorn", "--app-dir", folder, "--factory"]
        command += ["prefect.server.api.server:create_app", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--log-level", "error", "--lifespan", "on"]
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(command, env={**os.environ, **ENVIRONMENT, **settings}, process_group=0)


def isolate_temporary_server() -> None:
    """Let Prefect start its temporary server, if it ever does, in a process group of its own."""
    TemporaryServer()  # the one instance that Prefect finds from now on
