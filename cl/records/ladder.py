"""An update's way up the ladder: what was tried at each rung, what it cost, and why it was not enough."""

from __future__ import annotations

from pydantic import Field

from cl.records.drift import DriftType
from cl.records.evaluation import Evaluation
from cl.records.gates import GateReport
from cl.records.record import Record
from cl.records.training import Training


class Challenger(Record):
    """A challenger that was trained at one rung, or without a ladder, and judged."""

    training: Training
    evaluation: Evaluation
    gates: GateReport
    judged_seconds: float = Field(
        default=0.0, description="Of the control arm, evaluation and gates; where it was killed, since it went on"
    )


class RungResult(Record):
    """One rung of a climb: begun and judged, begun and given up as its training diverged, or not begun."""

    rung: str
    passed: bool = False
    training_seconds: float = 0.0
    judged_seconds: float = Field(default=0.0, description="Of the control arm, evaluation and gates")
    rows: int = Field(default=0, description="Rows of all kinds, each as often as it was learnt")
    accuracy: float | None = Field(default=None, description="ACC of its challenger")
    refused_by: dict[str, str] = Field(default_factory=dict, description="Gate that said no -> why")
    skipped: str | None = Field(default=None, description="Why it was not begun; None: it was")
    diverged: str | None = Field(default=None, description="What stopped its training; None: it has a challenger")

    @property
    def seconds(self) -> float:
        """What it cost."""
        return self.training_seconds + self.judged_seconds


class LadderResult(Record):
    """The rungs of one update, in the order in which they came up; the last that was judged is the challenger's."""

    types: list[DriftType] = Field(default_factory=list, description="What kinds of change it answers")
    attempts: list[RungResult]

    @property
    def begun(self) -> list[RungResult]:
        """The rungs that were trained."""
        return [one for one in self.attempts if one.skipped is None]

    @property
    def judged(self) -> list[RungResult]:
        """The rungs whose training has led to a challenger."""
        return [one for one in self.begun if one.diverged is None]

    @property
    def passed(self) -> bool:
        """Whether one of them was enough."""
        return any(one.passed for one in self.begun)

    @property
    def training_seconds(self) -> float:
        """Of all rungs together."""
        return sum(one.training_seconds for one in self.begun)
