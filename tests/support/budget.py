"""What tests cost: the processor seconds of each are counted, and one outside e2e and faults may take five.

Counted are this process and all that it has started, so that no test hides its cost in another process; set-up that
several tests share is not charged to the one that happens to be first. The most expensive are listed at the end.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import psutil
import pytest

SECONDS = 5.0
"""Processor seconds that a test of the default suite may take."""
FREE = ("e2e", "faults", "nightly")
"""Markers of tests that may take longer."""
REFERENCE = 0.09
"""Processor seconds that two million squares took on the machine that the limit was set on."""
LISTED = 20
MANY = 200
"""Tests of a run in which the limit holds."""
IMPORTED = ["tests.support.warm_imports"]
KEY = "processor seconds"
_THIS = psutil.Process()
_BEGUN, _SHARED, _LIMITED = pytest.StashKey[float](), pytest.StashKey[float](), pytest.StashKey[bool]()


def processor_seconds() -> float:
    """Return what this process and all its descendants, also those that have ended, have used so far."""
    used = 0.0
    for process in (_THIS, *_THIS.children(recursive=True)):
        with suppress(psutil.Error):  # it ended a moment ago; its parent has its times now
            user, system, *of_children = process.cpu_times()[:4]
            used += sum(of_children) + (0.0 if _imports_for_all(process) else user + system)
    return used


def _imports_for_all(process: psutil.Process) -> bool:
    """Tell whether it is a server that this process forks others from: what it imports is shared set-up."""
    if process.ppid() != _THIS.pid:
        return False
    return any("multiprocessing.forkserver" in word for word in process.cmdline())


def speed() -> float:
    """Return how fast this machine is at the moment, beside the one that the limit was set on; at most 1.

    Where others keep the processors busy, the same work takes up to twice the processor seconds.
    """
    begun = time.process_time()
    sum(number * number for number in range(2_000_000))
    return min(1.0, REFERENCE / (time.process_time() - begun))


def spent(item: pytest.Item) -> float:
    """Return what a test has spent since it began, without the set-up that it shares with others."""
    return processor_seconds() - item.stash[_BEGUN] - item.stash[_SHARED]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Import what nearly all need before the first of many tests, or that one would be charged for it.

    Of a few tests each may be charged for such imports, so that the limit holds only where there are many.
    """
    session.config.stash[_LIMITED] = len(session.items) >= MANY
    if session.config.stash[_LIMITED] and not session.config.option.collectonly:
        for module in IMPORTED:
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # what is imported and collected is never garbage; to look through it takes half a second each time


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin to count."""
    item.stash[_BEGUN], item.stash[_SHARED] = processor_seconds(), 0.0


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None]:
    """Charge no test for set-up that tests share."""
    stash = request._pyfuncitem.stash
    if fixturedef.scope == "function" or _BEGUN not in stash:
        return (yield)
    before, shared = processor_seconds(), stash[_SHARED]
    try:
        return (yield)
    finally:  # not added to what it is now: set-up within this one is part of it
        stash[_SHARED] = shared + processor_seconds() - before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Write the cost into the report; a test that costs too much has failed."""
    report = yield
    if call.when == "call" and _BEGUN in item.stash:
        seconds = spent(item)
        report.user_properties.append((KEY, seconds))
        limited = item.config.stash[_LIMITED] and not any(item.get_closest_marker(free) for free in FREE)
        if report.passed and limited and seconds > SECONDS and (seconds := seconds * speed()) > SECONDS:
            report.outcome = "failed"
            report.longrepr = (
                f"took {seconds:.1f} processor seconds of an idle machine, and a test of the default suite may take "
                f"{SECONDS:g}: make it cheaper, share its set-up, or move it to tests/e2e"
            )
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List the tests that cost most."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, [])]
    costs = [(dict(one.user_properties)[KEY], one.nodeid) for one in reports if KEY in dict(one.user_properties)]
    if not costs:
        return
    terminalreporter.section(f"{KEY}: {sum(seconds for seconds, _ in costs):.0f} in {len(costs)} tests, the most")
    for seconds, test in sorted(costs, reverse=True)[:LISTED]:
        terminalreporter.line(f"{seconds:6.1f}  {test}")
