"""compose.yaml, brought up without containers: real servers under the names, ports and variables that it gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support.composition import UNSHARE, services
from tests.support.repository import ROOT

pytestmark = [pytest.mark.alone, pytest.mark.nightly]


def test_the_services_come_up_in_their_order_and_run_the_demo(tmp_path, postgres) -> None:
    pytest.importorskip("moto.server", reason="no S3 server here: pip install 'moto[s3]'")
    if os.geteuid() != 0 or shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"]).returncode:
        pytest.skip("namespaces need root and unshare: apt-get install util-linux")
    command = [*UNSHARE, sys.executable, "-m", "tests.support.composition", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["champions"]) == 6 and found["champions"][0] == "1"
    assert found["answer"]["version"] and found["answer"]["predictions"][0]["label"]
    assert any(name.startswith("perennial/mlflow/") for name in found["objects"])
    assert any(name.startswith("perennial/rows/") for name in found["objects"])
    assert found["again"] == 0 and found["same_secrets"] and not found["leaks"]
    assert found["alive"] == sorted(name for name, one in services().items() if "restart" in one)
