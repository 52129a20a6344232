"""What the gates say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class GroupVerdict(Record):
    """What a gate says of one group of rows: an experience, a class, a slice; '' is all of them."""

    group: str
    verdict: Literal["pass", "fail", "undecided"]
    measured: float | None = None
    bound: float | None = None
    p_value: float | None = Field(default=None, description="Chance of such a loss if there is none; not corrected")
    rows: int | None = None
    rows_needed: int | None = None
    why: str


class Verdict(Record):
    """What one gate says: pass, fail, or that the rows are too few to decide."""

    gate: str
    passed: bool = Field(description="Undecided: what gate_policy.undecided makes of it")
    undecided: bool = False
    rows_needed: int | None = Field(default=None, description="Rows that would decide, if what was measured held")
    measured: float | None = None
    bound: float | None = None
    p_value: float | None = Field(default=None, description="Chance of such a loss if there is none; not corrected")
    rows: int | None = None
    why: str
    groups: list[GroupVerdict] = Field(default_factory=list, description="Every group, where there are several")


class GateReport(Record):
    """All verdicts; it passes when every one does, or when the gates are not enforced."""

    passed: bool
    verdicts: list[Verdict]
    mode: Literal["enforce", "dry_run", "off"] = "enforce"
