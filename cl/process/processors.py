"""How many processors this process may use, and how its threads wait: kind to a machine that does other work too."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def count_processors(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many processors this process may use: those it may run on, or fewer where a cgroup limits their time.

    Args:
        cgroups: where the control groups are mounted.
        own: the file that names this process's group.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(limit) for limit in _limits(cgroups, own))]))


@contextmanager
def thread_count(count: int | None) -> Iterator[None]:
    """Let torch use this many threads, and what is started meanwhile too; None: as many as it does.

    Afterwards both are as they were: a caller's own work must not slow down.
    """
    if count is None:
        yield
        return
    name = "OMP_NUM_THREADS"
    variable = os.environ.get(name)
    os.environ[name] = str(count)  # before torch is imported for the first time
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if variable is None:
            del os.environ[name]
        else:
            os.environ[name] = variable


def wait_passively() -> None:
    """Let threads sleep while they wait, and use no more of them than there are processors.

    Threads that spin until there is work take three to four times the processor time where other programs run. The
    environment decides when torch is imported, so call this first; what the user has set stays.
    """
    count = count_processors()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if count < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(count))
    torch = sys.modules.get("torch")
    if torch is not None and "OMP_NUM_THREADS" in os.environ and torch.get_num_threads() > count:
        torch.set_num_threads(count)


def _limits(cgroups: Path, own: Path) -> list[float]:
    """Return the limits, in processors, of this process's control groups and of the groups around them."""
    limits = []
    for folder, read in [(cgroups, _second_version), (cgroups / "cpu", _first_version)]:
        for group in _groups(folder, own):
            limit = read(group)
            if limit is not None:
                limits.append(limit)
    return limits


def _groups(folder: Path, own: Path) -> list[Path]:
    """Return the folders of this process's group and of all groups around it, the mounted one included."""
    try:
        names = [line.split(":", 2)[2].strip().strip("/") for line in own.read_text(encoding="utf-8").splitlines()]
    except (OSError, IndexError, UnicodeDecodeError):
        names = []
    groups = {folder}
    for name in names:
        inner = folder / name
        groups |= {inner, *(parent for parent in inner.parents if parent.is_relative_to(folder))}
    return sorted(groups)


def _second_version(group: Path) -> float | None:
    """Return the limit in ``cpu.max``: microseconds in each period, or ``max``."""
    try:
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _first_version(group: Path) -> float | None:
    """Return the limit of the first version of control groups, where -1 means none."""
    try:
        quota, period = (
            int((group / f"cpu.cfs_{name}_us").read_text(encoding="ascii")) for name in ("quota", "period")
        )
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
