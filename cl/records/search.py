"""The result of a search for better settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cl.records.record import Record


class Trial(Record):
    """One trial of the search."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    score: float | None = Field(default=None, description="Mean over the experiences that it reached, 0 to 1")
    experiences: int = Field(default=0, description="Number of experiences that it reached")
    rows: int = Field(default=0, description="Rows trained on, over all epochs")
    seconds: float = 0.0
    settings: dict[str, Any]
    why: str = Field(default="", description="Why it failed")


class Search(Record):
    """All trials, oldest first, and the best of those that were completed."""

    rung: str | None
    experiences: list[str]
    trials: list[Trial]
    best: Trial
    fragment: str = Field(description="The best settings as keys of cl.yaml")
