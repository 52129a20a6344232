"""The decision about an experience, and its reasons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class Decision(Record):
    """What to do about an experience, and the reasons in words."""

    action: Literal["none", "learn", "hold"]
    reasons: list[str]
    rung: str | None = Field(default=None, description="Rung at which the update begins; None: there is no ladder")
    postponed: bool = Field(default=False, description="A limit postpones the update; later cycles consider it again")
