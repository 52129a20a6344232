"""What people have been told already: a look is repeated every few minutes, and its alarm is told once."""

from __future__ import annotations

import json
from collections.abc import Callable

from cl.stores.local import Project, write_text

KEPT = 500


def tell_once(project: Project, key: str, tell: Callable[[], None]) -> None:
    """Call ``tell`` unless it was called under this key before; killed in between, it is told again, not never."""
    file = project.work / "told.json"
    told: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    if key in told:
        return
    tell()
    write_text(file, json.dumps([*told, key][-KEPT:]))
