"""All comparisons of a project's server, as JSON in .cl/serving/comparisons/: one file a worker, summed when read."""

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
"""Workers' files that stay: those of former workers hold what the present versions' comparison began with."""


def serving_folder(project: ProjectFolder) -> Path:
    """Return where the server keeps its state."""
    return project.work / "serving"


def read_comparisons(project: ProjectFolder) -> list[Comparison]:
    """Return each comparison of a challenger with a champion, summed over all workers: for a gate, or for people."""
    return list(_summed(_read(serving_folder(project))).values())


class ComparisonStore:
    """One worker's comparisons; counted in the event loop, written and judged in the follower's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "comparisons" / f"{time.time_ns():020d}-{os.getpid()}.json"
        self._own: dict[Key, Comparison] = {}
        self._lock = threading.Lock()
        self._written = ""

    def of(self, role: str, version: str, champion: str, attempt: int = 1) -> Comparison:
        """Return the comparison of two versions, to be counted in."""
        with self._lock:
            key = (role, version, champion, attempt)
            if key not in self._own:
                self._own[key] = Comparison(*key)
            return self._own[key]

    def write(self) -> None:
        """Write what has changed; the oldest workers' files are forgotten."""
        with self._lock:
            text = json.dumps([one.as_json() for one in self._own.values()], indent=1)
            empty = not self._own
        if empty or text == self._written:
            return
        write_text(self._file, text)
        self._written = text
        for path in sorted(self._file.parent.glob("*.json"))[:-FILES_KEPT]:
            path.unlink(missing_ok=True)

    def summed(self) -> list[Comparison]:
        """Return what all workers have seen, as they wrote it last."""
        return list(_summed(_read(self._folder)).values())


def _read(folder: Path) -> list[Comparison]:
    found = []
    for path in sorted((folder / "comparisons").glob("*.json")):
        try:
            found += [from_json(one) for one in json.loads(path.read_text(encoding="utf-8"))]
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # forgotten meanwhile, or of another release
            continue
    return found


def _summed(every: list[Comparison]) -> dict[Key, Comparison]:
    summed: dict[Key, Comparison] = {}
    for one in every:
        summed[one.key] = summed[one.key].plus(one) if one.key in summed else one
    return summed
