"""Versions of the model, and every move of the champion."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from cl.records.record import Record

WITHDRAWN = "cl.withdrawn"
"""Tag of a version whose files were removed, or that holds rows which had to be forgotten."""


class Registration(Record):
    """The registry version that a challenger became."""

    version: str
    passed: bool


class Promotion(Record):
    """Which registry version came of a cycle, and whether it serves now."""

    version: str
    promoted: bool
    waiting: bool = Field(default=False, description="It passed, and a person decides: cl approve, cl reject")
    beside: Literal["canary", "shadow"] | None = Field(default=None, description="It passed, and is this for now")
    share: float | None = Field(default=None, description="Of the requests, 0 to 1, as a canary or shadow")
    champion_before: str | None = None
    champion_after: str | None = None


class VersionInfo(Record):
    """One registered version."""

    version: str
    created: datetime
    run_id: str
    tags: dict[str, str]
    aliases: list[str]

    @property
    def withdrawn(self) -> str | None:
        """Why it can never serve again, though it may have passed its gates; None: it can."""
        return self.tags.get(WITHDRAWN)


class Unlearning(Record):
    """What became of the model when rows were forgotten."""

    version: str | None = Field(default=None, description="The new champion; None: it had learnt none of the rows")
    exact: bool = Field(default=True, description="Whether no weight of the champion has learnt from the rows")
    withdrawn: list[str] = Field(default_factory=list, description="Versions that hold the rows and cannot serve again")
