"""A running server is found by commands of its project; what a dead one left behind is not taken for it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from cl.serving.announcement import announced, running_server
from cl.stores.project_folder import ProjectFolder

URL = "http://127.0.0.1:8123"


def test_a_server_is_found_while_it_runs(tmp_path) -> None:
    project = ProjectFolder(tmp_path)
    assert running_server(project) is None
    with announced(project, URL):
        assert running_server(project) == URL
        with announced(project, "http://127.0.0.1:8124"):
            assert running_server(project) == URL
        assert running_server(project) == URL
    assert running_server(project) is None


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_died_is_not_asked(tmp_path, end) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from cl.serving.announcement import announced\n"
        "from cl.stores.project_folder import ProjectFolder\n"
        f"with announced(ProjectFolder(Path({str(tmp_path)!r})), {URL!r}):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(60)\n"
    )
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None and server.stdout.readline() == "up\n"
    assert running_server(ProjectFolder(tmp_path)) == URL
    server.send_signal(end)
    server.wait()
    assert (tmp_path / ".cl" / "serving" / "running").exists()
    assert running_server(ProjectFolder(tmp_path)) is None
