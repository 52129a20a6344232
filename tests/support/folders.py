"""A test's folder says what kind of test it is: each gets the marker of that name.

unit: one part by itself, without a server or MLflow. contract: what holds for every plug-in, or for every kind of
store. integration: real stores, a few parts together. e2e: the command line and servers in processes of their own.
faults: kills and damage.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

TESTS = Path(__file__).parents[1]
FOLDERS = ("unit", "contract", "integration", "e2e", "faults")
ALONE = "pytest.mark.alone"
SECONDS = {"e2e": 900, "faults": 900, "nightly": 3600}
"""Limits of tests, by marker, where the one in pyproject.toml is too short; a test may have one of its own."""


def folder_of(item: pytest.Item) -> str:
    """Return the folder below tests/ that a test lies in."""
    return item.path.relative_to(TESTS).parts[0]


def pytest_configure(config: pytest.Config) -> None:
    """Declare a marker for each folder."""
    for folder in FOLDERS:
        config.addinivalue_line("markers", f"{folder}: lies in tests/{folder}; set by the folder, never by hand")


@pytest.hookimpl(tryfirst=True)  # before -m chooses among the tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder and its limit; those that need to be alone begin first, as they mostly wait."""
    for item in items:
        item.add_marker(folder_of(item))
        limits = [seconds for marker, seconds in SECONDS.items() if item.get_closest_marker(marker)]
        if limits and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(max(limits)))
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)


class FilesApart(LoadFileScheduling):
    """A process of several takes a whole file at a time; of the files that need to be alone, one takes all."""

    @functools.cached_property
    def alone(self) -> set[str]:
        """Names of files whose tests carry that mark: who shares them out has not collected them."""
        return {path.name for path in TESTS.rglob("test_*.py") if ALONE in path.read_text(encoding="utf-8")}

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "alone" if Path(file).name in self.alone else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesApart | None:
    """Keep files together where the command line asks for it."""
    return FilesApart(config, log) if config.getvalue("dist") == "loadfile" else None
