"""Somebody who may only read a project can look at it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LOOK = """
import sys
from click.testing import CliRunner
from cl.cli.main import cl
project, out = sys.argv[1:]
try:
    open(f"{project}/written", "w")
except PermissionError:
    pass
else:
    sys.exit("this process may write")
for command in (["status"], ["audit"], ["gates"], ["history"], ["champion"], ["report", "--out", out]):
    done = CliRunner().invoke(cl, [*command, "-p", project])
    print(command[0], done.exit_code, repr(done.exception))
"""


def unprivileged() -> list[str]:
    """Return the command that keeps a superuser from writing where nobody may; skip the test if there is none."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("the superuser may write everywhere, and there is no setpriv")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]


@pytest.mark.parametrize("cached", [True, False])
def test_a_project_that_one_may_only_read_can_be_looked_at(champion_shop, cached, tmp_path) -> None:
    root = champion_shop().root
    if not cached:
        shutil.rmtree(root / ".cl" / "finished", ignore_errors=True)
    paths = [root, *root.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in paths}
    try:
        command = [*unprivileged(), sys.executable, "-c", LOOK, str(root), str(tmp_path / "report.html")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    finally:
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.endswith(" 0 None")] == []
    assert {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]} == before
    assert Path(tmp_path / "report.html").stat().st_size > 1_000
