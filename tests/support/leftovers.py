"""What a run leaves in the repository: nothing but caches, or it has failed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

CACHES = (".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache", "__pycache__", ".coverage", ".egg-info", "build")
"""What git ignores and may lie there: names, or how they end."""
_BEFORE = pytest.StashKey[set[str]]()


def strays(root: Path) -> set[str]:
    """Return the lines of `git status` for what it does not track, but for caches; none where there is no git."""
    command = ["git", "status", "--porcelain", "--ignored", "--untracked-files=normal"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    except FileNotFoundError:
        return set()
    untracked = [line for line in done.stdout.splitlines() if line.startswith(("??", "!!"))]
    return {line for line in untracked if not any(_is(line[3:], cache) for cache in CACHES)}


def _is(path: str, cache: str) -> bool:
    return any(part.endswith(cache) or part.startswith(f"{cache}.") for part in Path(path.strip('"')).parts)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look before the first test; of several processes only the one that shares out the tests does."""
    if not hasattr(session.config, "workerinput"):
        session.config.stash[_BEFORE] = strays(session.config.rootpath)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that left something."""
    left = _left(session.config)
    if left and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name what is left."""
    if left := _left(config):
        terminalreporter.section("left in the repository by the tests", red=True)
        for line in left:
            terminalreporter.line(line)


def _left(config: pytest.Config) -> list[str]:
    return sorted(strays(config.rootpath) - config.stash[_BEFORE]) if _BEFORE in config.stash else []
