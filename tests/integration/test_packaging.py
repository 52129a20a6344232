"""What leaves the repository: the wheel, and the sample stream that DVC brings."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.support.repository import ROOT


def tracked() -> list[str]:
    """The files that a clone would have."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git tracks."""
    if int(importlib.metadata.version("setuptools").split(".")[0]) < 77:
        pytest.skip("building the wheel without a network needs setuptools >= 77 here")
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(out.glob("perennial_ml-*.whl"))


def test_the_wheel_has_what_the_commands_read_and_nothing_else(wheel) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"cl", "flows"}
    assert {"cl/commands/templates/cl.yaml", "cl/sample/cl.yaml", "cl/reports/template.html"} <= set(names)
    sample = [name for name in tracked() if name.startswith("cl/sample/remote/")]
    assert sample and set(sample) <= set(names)


def test_an_installed_wheel_works_outside_the_repository(wheel, tmp_path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import cl, sys; from pathlib import Path; from cl import sample; from cl.cli.main import main\n"
        "assert Path(cl.__file__).is_relative_to(sys.argv[1]), cl.__file__\n"
        "assert len(list(sample.write_months(Path('months')))) == 6\n"
        "sys.argv = ['cl', 'init', 'project']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)], cwd=work, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (work / "project" / "cl.yaml").exists()


def test_dvc_brings_the_sample_stream_to_a_fresh_clone_without_a_network(tmp_path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "pull", "--quiet"], cwd=clone, capture_output=True, text=True,
        env={**os.environ, **offline},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    months = sorted((clone / "data").rglob("*month*"))
    files = [path for path in months if path.is_file()]
    assert len(files) == 6
    first = pd.read_csv(next(path for path in files if "1" in path.stem))
    assert len(first) == 312 and first["id"].is_unique
