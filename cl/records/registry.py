"""Versions of the model, and every move of the champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from cl.records.record import Record


class Registration(Record):
    """The registry version that a challenger became."""

    version: str
    passed: bool


class Promotion(Record):
    """Which registry version came of a cycle, and whether it serves now."""

    version: str
    promoted: bool
    champion_before: str | None = None
    champion_after: str | None = None


class VersionInfo(Record):
    """One registered version."""

    version: str
    created: datetime
    run_id: str
    tags: dict[str, str]
    aliases: list[str]


class LedgerEntry(Record):
    """One move of the champion: who, when, from, to, why."""

    sequence: int
    at: datetime
    actor: str
    action: Literal["promote", "rollback", "adopt"]
    from_version: str | None
    to_version: str
    why: str
    state: Literal["intent", "committed", "abandoned"]
