"""Hostile clients of every kind at once: others get their right answers, no worker hangs, and the server stops."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.support.repository import ROOT
from tests.support.servers import free_port
from tests.support.serving_shop import made_shop


@pytest.mark.nightly
def test_a_siege_harms_nobody_else_and_ends_with_a_signal(tmp_path, tiny_model) -> None:
    shop = made_shop(tmp_path / "shop", tiny_model, versions=(1,), serve={"drain_seconds": 1, "precision": "float32"})
    shop.promote("1")
    command = [sys.executable, "bench/serving_siege.py", str(shop.project.root), "--seconds", "60", "--workers", "2"]
    environment = {**os.environ, "BENCH_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert seen["answers"] > 0 and seen["wrong"] == 0 and not seen["failed"]
    assert seen["workers_replaced"] == 0 and seen["stopped_after_seconds"] is not None
