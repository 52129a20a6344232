"""The decision about an experience, and its reasons."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class Gain(Record):
    """What an update would gain: how many more of all rows, past and new, it would answer right.

    Shares from -1 to 1, with a 90 % interval; None and a reason if they could not be estimated.
    """

    expected: float | None = None
    low: float | None = None
    high: float | None = None
    new_high: float | None = Field(
        default=None, description="Upper end of the 90 % interval of the change on the new rows alone"
    )
    new_rows: int = Field(default=0, description="Rows that the update would learn")
    past_rows: int = Field(default=0, description="Rows that the champion has learned")
    unknown: str | None = Field(default=None, description="Why it could not be estimated")

    def may_reach(self, least: float | None) -> bool:
        """Return whether the gain may be at least this large; not if it could not be estimated, or for None."""
        return self.high is not None and least is not None and self.high >= least

    def is_too_small(self, least: float | None) -> bool:
        """Return whether the gain is below this on all rows and on the new ones; False if that is not known."""
        if self.high is None or self.new_high is None or least is None:
            return False
        return max(self.high, self.new_high) < least


class Decision(Record):
    """What to do about an experience, and the reasons in words."""

    action: Literal["none", "learn", "hold"]
    reasons: list[str]
    rung: str | None = Field(default=None, description="Rung at which the update begins; None: there is no ladder")
    postponed: bool = Field(default=False, description="A limit postpones the update; later cycles consider it again")
