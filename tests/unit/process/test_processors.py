"""How many processors there are for this process, and how its threads wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cl.process.processors import count_processors, thread_count, wait_passively
from tests.support.repository import ROOT

ALLOWED = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture
def machine(tmp_path):
    """Control groups as the kernel shows them: files with their content, and the group of this process."""

    def make(group: str, **files: str) -> tuple[Path, Path]:
        for name, content in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("cpu_max", "cpu.max").replace("cfs", "cpu.cfs")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        (tmp_path / "own").write_text(group)
        return tmp_path / "cgroup", tmp_path / "own"

    return make


@pytest.mark.parametrize(
    ("group", "files", "count"),
    [
        ("0::/\n", {"cpu_max": "100000 100000\n"}, 1),
        ("0::/\n", {"cpu_max": "max 100000\n"}, ALLOWED),
        ("0::/app/job\n", {"cpu_max": "max 100000\n", "app__cpu_max": "50000 100000", "app__job__cpu_max": "max 1"}, 1),
        ("4:cpu,cpuacct:/box\n", {"cpu__box__cfs_quota_us": "10000", "cpu__box__cfs_period_us": "100000"}, 1),
        ("4:cpu:/\n", {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}, ALLOWED),
        ("", {"cpu_max": "nonsense"}, ALLOWED),
    ],
)  # fmt: skip
def test_a_limit_of_a_control_group_or_of_one_around_it_counts(machine, group, files, count) -> None:
    assert count_processors(*machine(group, **files)) == count


def test_what_the_user_has_set_stays(monkeypatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_threads_are_limited_for_a_while_and_then_as_they_were(monkeypatch) -> None:
    import torch

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    with pytest.raises(KeyError), thread_count(before + 2):
        assert torch.get_num_threads() == before + 2 and os.environ["OMP_NUM_THREADS"] == str(before + 2)
        raise KeyError
    assert torch.get_num_threads() == before and "OMP_NUM_THREADS" not in os.environ
    with thread_count(None):
        assert torch.get_num_threads() == before


def test_a_project_opened_in_python_waits_passively_before_torch_is_imported(tmp_path) -> None:
    program = (
        "import os, sys, cl; before = os.environ.get('OMP_WAIT_POLICY'); cl.Project.create(sys.argv[1]); "
        "print(before, os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "shop")],
        capture_output=True, text=True, env={**environment, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["None", "PASSIVE", "False"]
