"""All comparisons of a project's server: JSON in .cl/serving/comparisons/, one file per worker, summed when read."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from cl.serving.canary.comparison import Comparison, Key, from_json
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder

FILES_KEPT = 32
"""Most files kept: files of former workers hold earlier counts of the current comparison."""


def serving_folder(project: ProjectFolder) -> Path:
    """Return the folder of the server's state."""
    return project.work / "serving"


def read_comparisons(project: ProjectFolder) -> list[Comparison]:
    """Return each comparison of a challenger with a champion, summed over all workers."""
    return list(_sum_by_key(_read(serving_folder(project))).values())


class ComparisonStore:
    """One worker's comparisons: counted in the event loop, written and judged in the registry watcher's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "comparisons" / f"{time.time_ns():020d}-{os.getpid()}.json"
        self._own: dict[Key, Comparison] = {}
        self._lock = threading.Lock()
        self._written = ""

    def of(self, role: str, version: str, champion: str, attempt: int = 1) -> Comparison:
        """Return the comparison of two versions to update."""
        with self._lock:
            key = (role, version, champion, attempt)
            if key not in self._own:
                self._own[key] = Comparison(*key)
            return self._own[key]

    def write(self) -> None:
        """Write the comparisons if they have changed, and delete the oldest workers' files."""
        with self._lock:
            text = json.dumps([comparison.as_json() for comparison in self._own.values()], indent=1)
            empty = not self._own
        if empty or text == self._written:
            return
        write_text(self._file, text)
        self._written = text
        for path in sorted(self._file.parent.glob("*.json"))[:-FILES_KEPT]:
            path.unlink(missing_ok=True)

    def summed(self) -> list[Comparison]:
        """Return the comparisons summed over all workers, as last written."""
        return list(_sum_by_key(_read(self._folder)).values())


def _read(folder: Path) -> list[Comparison]:
    comparisons = []
    for path in sorted((folder / "comparisons").glob("*.json")):
        try:
            comparisons += [from_json(content) for content in json.loads(path.read_text(encoding="utf-8"))]
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # deleted meanwhile, or written by another release
            continue
    return comparisons


def _sum_by_key(comparisons: list[Comparison]) -> dict[Key, Comparison]:
    summed: dict[Key, Comparison] = {}
    for comparison in comparisons:
        summed[comparison.key] = summed[comparison.key].plus(comparison) if comparison.key in summed else comparison
    return summed
