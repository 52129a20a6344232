"""What a registry in memory holds: its runs, its versions and their files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cl.errors import StoreError


@dataclass
class MemoryRun:
    """One run: what was logged to it, and its files by path."""

    id: str
    name: str
    tags: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    series: dict[str, list[float]] = field(default_factory=dict)
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    ended: bool = False


@dataclass
class MemoryVersion:
    """One version: its record, and the files of its learner by path; None where they are gone or never were."""

    run: str
    created: datetime
    tags: dict[str, str]
    files: dict[str, bytes] | None = None
    description: str = ""


@dataclass
class Memory:
    """All that a registry in memory holds; ``made`` counts its versions, also those that were deleted."""

    runs: dict[str, MemoryRun] = field(default_factory=dict)
    versions: dict[str, MemoryVersion] = field(default_factory=dict)
    made: int = 0
    aliases: dict[str, str] = field(default_factory=dict)
    head: tuple[int, str] | None = None
    description: str = ""


def find_run(memory: Memory, run: str) -> MemoryRun:
    """Return a run by its id.

    Raises:
        StoreError: there is none.
    """
    if run not in memory.runs:
        raise StoreError(f"the registry in memory: no run {run}")
    return memory.runs[run]


def find_version(memory: Memory, model: str, version: str) -> MemoryVersion:
    """Return a version by its number.

    Raises:
        StoreError: there is none.
    """
    if version not in memory.versions:
        raise StoreError(f"the registry in memory: no version {version} of '{model}'")
    return memory.versions[version]
