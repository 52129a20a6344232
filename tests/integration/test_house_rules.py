"""What the test suite itself promises: it leaves nothing behind, counts what tests cost, and finds a Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.budget import processor_seconds
from tests.support.folders import FOLDERS, TESTS
from tests.support.leftovers import strays
from tests.support.repository import ROOT

PLUGINS = ("-p", "tests.support.budget", "-p", "tests.support.leftovers", "-p", "no:cacheprovider")


def pytest_in(folder: Path, test: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test module with the suite's own plug-ins in a git repository."""
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "test_it.py").write_text(test)
    (folder / ".gitignore").write_text("*.db\n")
    subprocess.run(["git", "-C", str(folder), "add", "."], check=True)
    command = [sys.executable, "-B", "-m", "pytest", "-q", "--rootdir", str(folder), *PLUGINS, *options, "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize("left", ["mlflow.db", "runs.txt", "mlruns/0/meta.yaml"])
def test_a_suite_that_leaves_a_file_in_the_repository_fails_and_names_it(tmp_path, left) -> None:
    done = pytest_in(
        tmp_path,
        "from pathlib import Path\n"
        "def test_it():\n"
        f"    Path({left!r}).parent.mkdir(parents=True, exist_ok=True)\n"
        f"    Path({left!r}).write_text('')\n",
    )
    assert done.returncode == 1 and "left in the repository" in done.stdout, done.stdout + done.stderr
    assert left.split("/")[0] in done.stdout.partition("left in the repository")[2]


def test_a_suite_that_leaves_nothing_passes_whatever_was_there_before(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = pytest_in(tmp_path, "def test_it():\n    pass\n")
    assert done.returncode == 0 and "left in the repository" not in done.stdout, done.stdout + done.stderr


def test_a_test_that_costs_too_much_fails_and_time_in_its_children_counts(tmp_path) -> None:
    burn = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
    done = pytest_in(
        tmp_path,
        "import subprocess, sys\n"
        "import pytest\n"
        "from tests.support import budget\n"
        "budget.SECONDS, budget.MANY, budget.IMPORTED, budget.REFERENCE = 0.3, 1, [], 1e9\n"
        f"def burn(): subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "@pytest.fixture(scope='module')\n"
        "def shared(): burn()\n"
        "def test_that_costs(): burn()\n"
        "def test_cheap(shared): pass\n",
    )
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "test_it.py::test_that_costs" in done.stdout and "a test of the default suite may take 0.3" in done.stdout


def test_what_was_spent_never_goes_back() -> None:
    before = processor_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert processor_seconds() > before


def test_the_repository_s_own_caches_are_no_leftovers() -> None:
    assert not [line for line in strays(ROOT) if ".venv" in line or "__pycache__" in line or ".coverage" in line]


def test_every_test_lies_in_a_folder_that_says_its_kind_and_every_folder_mirrors_the_product() -> None:
    stray = [path.name for path in TESTS.rglob("test_*.py") if path.relative_to(TESTS).parts[0] not in FOLDERS]
    assert not stray, stray
    product = {path.name for path in (ROOT / "cl").iterdir() if path.is_dir()} | {"flows"}
    below = {path.name for kind in FOLDERS for path in (TESTS / kind).iterdir() if path.is_dir()} - {"__pycache__"}
    assert below <= product, f"no such folder in cl/: {sorted(below - product)}"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands for the path of a machine: it has what make needs, and no Python yet."""
    for name in ("sh", "echo", "touch", "false"):
        (tmp_path / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    return tmp_path


def python_that(machine: Path, name: str, *, version: str, has_venv: bool = True) -> None:
    """Put a Python on the machine that says it is of a version, and has what makes environments or not."""
    asked = f'case "$2" in *\'"{version}"\'*) exit {0 if has_venv else 1};; *) exit 1;; esac'
    (machine / name).write_text(f"#!/bin/sh\n{asked}\n")
    (machine / name).chmod(0o755)


def planned(machine: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what `make install` would do on a machine."""
    command = ["/usr/bin/make", "--dry-run", "install", f"VENV={machine}/venv", *arguments]
    environment = {"PATH": str(machine), "LANG": "C"}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


@pytest.mark.skipif(not Path("/usr/bin/make").exists(), reason="no make here: apt-get install make")
def test_make_takes_the_newest_python_that_can_make_an_environment(machine) -> None:
    python_that(machine, "python3.11", version="3.11")
    assert f"{machine}/python3.11 -m venv" in planned(machine).stdout
    python_that(machine, "python3", version="3.13")
    assert f"{machine}/python3 -m venv" in planned(machine).stdout, "whatever its name is"
    python_that(machine, "python3.14", version="3.14", has_venv=False)
    assert f"{machine}/python3 -m venv" in planned(machine).stdout
    assert "/opt/my/python -m venv" in planned(machine, "PYTHON=/opt/my/python").stdout


@pytest.mark.skipif(not Path("/usr/bin/make").exists(), reason="no make here: apt-get install make")
def test_where_there_is_no_python_make_says_which_it_needs(machine) -> None:
    python_that(machine, "python3", version="3.10")
    command = ["/usr/bin/make", "install", f"VENV={machine}/venv"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={"PATH": str(machine)})
    assert done.returncode == 2
    assert "needs one of Python 3.14 3.13 3.12 3.11 with venv" in done.stdout + done.stderr
