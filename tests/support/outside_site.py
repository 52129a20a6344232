"""A package of somebody else's, installed, and the command line that finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.repository import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed into."""
    copy, site = tmp_path_factory.mktemp("source") / "outside", tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "tests" / "support" / "outside", copy)
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(copy)]
    done = subprocess.run([sys.executable, "-m", "pip", *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site


def cl(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cl.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])},
    )
