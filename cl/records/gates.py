"""The verdicts of the gates."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cl.records.record import Record

Word = Literal["pass", "fail", "undecided"]


class Part(Record):
    """A gate's verdict on one group of rows: one row of the table of verdicts."""

    group: str = Field(default="all", description="The rows: an experience, a class, a slice, or all")
    verdict: Word
    measured: float | None = None
    bound: float | None = None
    p_value: float | None = Field(default=None, description="p-value, if the gate made a significance test")
    alpha: float | None = Field(default=None, description="1 minus the gate's confidence, if there is a p-value")
    rows: int | None = Field(default=None, description="Number of test rows in the group")
    rows_needed: int | None = Field(default=None, description="Rows needed to decide, if the measured value holds")
    why: str


class Verdict(Record):
    """The verdict of one gate: pass, fail, or undecided because there are too few rows."""

    gate: str
    passed: bool = Field(description="If undecided, as gate_policy.undecided says")
    undecided: bool = False
    rows_needed: int | None = Field(default=None, description="Rows needed to decide, if the measured value holds")
    measured: float | None = None
    bound: float | None = None
    why: str
    on: str = Field(default="all", description="What the rows are grouped by; the worst group decides")
    parts: list[Part] = Field(default_factory=list, description="Verdict on each group, worst first")

    @property
    def word(self) -> Word:
        """The verdict in one word, before a policy is applied."""
        return "undecided" if self.undecided else "pass" if self.passed else "fail"


class GateReport(Record):
    """All verdicts; the report passes when every verdict does, or when the gates are not enforced."""

    passed: bool
    verdicts: list[Verdict]
    mode: Literal["enforce", "dry_run", "off"] = "enforce"

    @property
    def table(self) -> list[dict[str, Any]]:
        """All verdicts, one row per gate and group: gate, on, group, verdict, measured, bound, ..."""
        return [
            {"gate": verdict.gate, "on": verdict.on, **part.model_dump()}
            for verdict in self.verdicts
            for part in verdict.parts or [_whole(verdict)]
        ]


TABLE = ["gate", "on", *Part.model_fields]
"""The columns of the table of verdicts."""


def _whole(verdict: Verdict) -> Part:
    return Part(
        verdict=verdict.word,
        measured=verdict.measured,
        bound=verdict.bound,
        rows_needed=verdict.rows_needed,
        why=verdict.why,
    )


class Regression(Record):
    """A test row that the champion answered better than the challenger."""

    experience: str
    id: str
    target: str
    champion: str = Field(description="Its answer")
    champion_confidence: float | None = None
    challenger: str = Field(description="Its answer")
    challenger_confidence: float | None = None
    text: str
