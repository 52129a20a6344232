"""Requests made up by schemathesis from the server's own OpenAPI schema: none of them breaks it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.serving_shop import TOKEN, Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize("examples", [10, pytest.param(60, marks=pytest.mark.nightly)])
def test_no_request_that_the_schema_allows_or_forbids_breaks_the_server(
    server: Server, client, tmp_path, examples
) -> None:
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    asked = [f"{server.url}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS]
    bounds = ["--max-examples", str(examples), "--phases", "examples,coverage,fuzzing", "--seed", "1"]
    done = subprocess.run([*command, *asked, *bounds], capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert client.post("/predict", json={"text": "my card"}).status_code == 200
