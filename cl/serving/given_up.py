"""Canaries that the server has stopped asking, and why: known to every worker, and after a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cl.stores.local import write_text


@dataclass(frozen=True)
class GivenUp:
    """A file in the project's .cl/serving/, which all workers read at every look.

    A version whose alias was taken away and given back is tried again: what was counted before counts no longer.
    """

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "given_up.json"

    def __contains__(self, version: str) -> bool:
        """Tell whether a version is no longer asked as a canary."""
        return version in self.reasons()

    def reasons(self) -> dict[str, dict[str, str]]:
        """Return each version with ``at`` and ``why``."""
        return self._read()["reasons"]

    def attempt(self, version: str) -> int:
        """Return how many times a version has been tried as a canary, this time among them."""
        return self._read()["attempts"].get(version, 1)

    def add(self, version: str, why: str) -> bool:
        """Give a version up; False where that was done already."""
        known = self._read()
        if version in known["reasons"]:
            return False
        known["reasons"][version] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
        self._write(known)
        return True

    def keep(self, canary: str | None) -> None:
        """Forget all but the present canary: once the alias has moved, a version may be tried again."""
        known = self._read()
        gone = set(known["reasons"]) - {canary}
        for version in gone:
            del known["reasons"][version]
            known["attempts"][version] = known["attempts"].get(version, 1) + 1
        if gone:
            self._write(known)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            return json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"reasons": {}, "attempts": {}}

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        write_text(self._file, json.dumps(known, indent=1))
