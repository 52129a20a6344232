"""What the gates say."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from cl.records.record import Record

Word = Literal["pass", "fail", "undecided"]


class Part(Record):
    """What a gate found on one group of rows: one row of the table of verdicts."""

    group: str = Field(default="all", description="Which rows: an experience, a class, a slice; all")
    verdict: Word
    measured: float | None = None
    bound: float | None = None
    p_value: float | None = Field(default=None, description="Of the test that what is measured is chance, if one was")
    alpha: float | None = Field(default=None, description="1 less the gate's confidence, where it has a p-value")
    rows: int | None = Field(default=None, description="Test rows that were measured")
    rows_needed: int | None = Field(default=None, description="Rows that would decide, if what was measured held")
    why: str


class Verdict(Record):
    """What one gate says: pass, fail, or that the rows are too few to decide."""

    gate: str
    passed: bool = Field(description="Undecided: what gate_policy.undecided makes of it")
    undecided: bool = False
    rows_needed: int | None = Field(default=None, description="Rows that would decide, if what was measured held")
    measured: float | None = None
    bound: float | None = None
    why: str
    on: str = Field(default="all", description="What the rows are cut into; the worst of it decides")
    parts: list[Part] = Field(default_factory=list, description="What was found on each group, the worst first")

    @property
    def word(self) -> Word:
        """The verdict in a word, before a policy makes anything of it."""
        return "undecided" if self.undecided else "pass" if self.passed else "fail"


class GateReport(Record):
    """All verdicts; it passes when every one does, or when the gates are not enforced."""

    passed: bool
    verdicts: list[Verdict]
    mode: Literal["enforce", "dry_run", "off"] = "enforce"

    @property
    def table(self) -> list[dict[str, Any]]:
        """All that was found, a row for each gate and group: gate, on, group, verdict, measured, bound, ..."""
        return [
            {"gate": one.gate, "on": one.on, **part.model_dump()}
            for one in self.verdicts
            for part in one.parts or [_whole(one)]
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
