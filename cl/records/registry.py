"""Registry versions, and promotions."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from cl.records.record import Record

WITHDRAWN = "cl.withdrawn"
"""Tag of a version whose files were removed, or that contains rows that had to be forgotten."""


class Registration(Record):
    """The registry version that a challenger became."""

    version: str
    passed: bool


class Promotion(Record):
    """The registry version that a cycle produced, and whether it serves now."""

    version: str
    promoted: bool
    waiting: bool = Field(default=False, description="It passed and awaits approval: cl approve, cl reject")
    trial_alias: Literal["canary", "shadow"] | None = Field(default=None, description="It passed and got this alias")
    share: float | None = Field(default=None, description="Share of requests as a canary or shadow, 0 to 1")
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
        """Why it can no longer serve, even if it passed its gates; None: it can."""
        return self.tags.get(WITHDRAWN)


class Unlearning(Record):
    """What happened to the model when rows were forgotten."""

    version: str | None = Field(
        default=None, description="The new champion; None: the old one had learned none of the rows"
    )
    exact: bool = Field(default=True, description="Whether no weight of the champion was trained on the rows")
    withdrawn: list[str] = Field(
        default_factory=list, description="Versions that contain the rows and can no longer serve"
    )
