"""What the gates say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class Verdict(Record):
    """What one gate says: pass, fail, or that the rows are too few to decide."""

    gate: str
    passed: bool = Field(description="Undecided: what gate_policy.undecided makes of it")
    undecided: bool = False
    rows_needed: int | None = Field(default=None, description="Rows that would decide, if what was measured held")
    measured: float | None = None
    bound: float | None = None
    why: str


class GateReport(Record):
    """All verdicts; it passes when every one does, or when the gates are not enforced."""

    passed: bool
    verdicts: list[Verdict]
    mode: Literal["enforce", "dry_run", "off"] = "enforce"
