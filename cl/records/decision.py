"""What is done about an experience, and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class Decision(Record):
    """What to do about an experience, and why, in words."""

    action: Literal["none", "learn", "hold"]
    reasons: list[str]
    rung: str | None = Field(default=None, description="Of the ladder, where there is one: the update begins there")
    postponed: bool = Field(default=False, description="A bound puts it off, and later cycles ask for it again")
