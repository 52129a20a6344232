"""What tests cost: the processor seconds of each are counted, and one outside e2e and faults may take five.

Counted are this process and all that it has started, so that no test hides its cost in another process; set-up that
several tests share is not charged to the one that happens to be first. The most expensive are listed at the end.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import psutil
import pytest

SECONDS = 5.0
"""Processor seconds that a test of the default suite may take."""
FREE = ("e2e", "faults", "nightly")
"""Markers of tests that may take longer."""
LISTED = 20
KEY = "processor seconds"
_THIS = psutil.Process()
_BEGUN, _SHARED = pytest.StashKey[float](), pytest.StashKey[float]()


def processor_seconds() -> float:
    """Return what this process and all its descendants, also those that have ended, have used so far."""
    used = 0.0
    for process in (_THIS, *_THIS.children(recursive=True)):
        try:
            used += sum(process.cpu_times()[:4])  # user, system, and both of the children that have ended
        except psutil.Error:  # it ended a moment ago; its parent has its times now
            continue
    return used


def spent(item: pytest.Item) -> float:
    """Return what a test has spent since it began, without the set-up that it shares with others."""
    return processor_seconds() - item.stash[_BEGUN] - item.stash[_SHARED]


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
        if report.passed and seconds > SECONDS and not any(item.get_closest_marker(free) for free in FREE):
            report.outcome = "failed"
            report.longrepr = (
                f"took {seconds:.1f} processor seconds, and a test of the default suite may take {SECONDS:g}: make it "
                "cheaper, share its set-up, or move it to tests/e2e"
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
