"""Canaries that the server has stopped asking, and why: known to every worker, and after a restart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cl.stores.local import write_text


@dataclass(frozen=True)
class GivenUp:
    """A file in the project's .cl/serving/, which all workers read at every look."""

    folder: Path

    @property
    def _file(self) -> Path:
        return self.folder / "given_up.json"

    def __contains__(self, version: str) -> bool:
        """Tell whether a version is no longer asked as a canary."""
        return version in self.reasons()

    def reasons(self) -> dict[str, dict[str, str]]:
        """Return each version with ``at`` and ``why``."""
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def add(self, version: str, why: str) -> bool:
        """Give a version up; False where that was done already."""
        known = self.reasons()
        if version in known:
            return False
        told = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "why": why}
        write_text(self._file, json.dumps({**known, version: told}, indent=1))
        return True

    def keep(self, canary: str | None) -> None:
        """Forget all but the present canary: once the alias has moved, a version may be tried again."""
        known = self.reasons()
        if set(known) - {canary}:
            write_text(self._file, json.dumps({version: known[version] for version in known if version == canary}))
