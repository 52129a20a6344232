"""What `cl schedule` and `cl trigger` say when they cannot work: one line and the right exit code."""

from __future__ import annotations

import pytest

from tests.support.servers import free_port


@pytest.mark.parametrize("command", ["schedule", "trigger"])
def test_without_a_server_that_stays_the_remedy_is_told(desk, tmp_path, command) -> None:
    done = desk.cl(command, PREFECT_API_URL="", PREFECT_HOME=str(tmp_path / "prefect"))
    assert done.returncode == 2 and "prefect server start" in done.stderr and "Traceback" not in done.stderr


def test_a_server_that_does_not_answer_is_named(desk, tmp_path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    done = desk.cl("schedule", PREFECT_API_URL=url, PREFECT_HOME=str(tmp_path / "prefect"))
    assert done.returncode == 1 and f"no Prefect server answers at {url}" in done.stderr
    assert "Traceback" not in done.stderr
