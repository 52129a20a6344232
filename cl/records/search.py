"""What a search for better settings has found."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cl.records.record import Record


class Trial(Record):
    """One setting that was tried."""

    number: int
    state: Literal["complete", "pruned", "failed"]
    score: float | None = Field(default=None, description="Mean over the experiences that it came to, 0 to 1")
    experiences: int = Field(default=0, description="How many it came to")
    rows: int = Field(default=0, description="Rows learnt, each as often as it was")
    seconds: float = 0.0
    settings: dict[str, Any]
    why: str = Field(default="", description="Why it failed")


class Search(Record):
    """All trials, oldest first, and the best of those that went to the end."""

    rung: str | None
    experiences: list[str]
    trials: list[Trial]
    best: Trial
    fragment: str = Field(description="The best settings as keys of cl.yaml")
