"""An update's climb up the ladder: what was tried at each rung, what it cost, and why it failed."""

from __future__ import annotations

from pydantic import Field

from cl.records.drift import DriftType
from cl.records.evaluation import Evaluation
from cl.records.gates import GateReport
from cl.records.record import Record
from cl.records.training import Training


class Challenger(Record):
    """A challenger that was trained at one rung, or without a ladder, and evaluated."""

    training: Training
    evaluation: Evaluation
    gates: GateReport
    judged_seconds: float = Field(
        default=0.0, description="Time of control arm, evaluation and gates; if it was killed, since it was resumed"
    )


class RungResult(Record):
    """The result of one rung: trained and evaluated, diverged, or skipped."""

    rung: str
    passed: bool = False
    training_seconds: float = 0.0
    judged_seconds: float = Field(default=0.0, description="Time of control arm, evaluation and gates")
    rows: int = Field(default=0, description="Rows of all kinds that it was trained on, over all epochs")
    validation_score: float | None = Field(default=None, description="Score on validation rows after training")
    accuracy: float | None = Field(default=None, description="ACC of its challenger")
    refused_by: dict[str, str] = Field(default_factory=dict, description="Failed gate -> reason")
    skipped: str | None = Field(default=None, description="Why it was skipped; None: it was not")
    diverged: str | None = Field(default=None, description="Why its training stopped; None: it did not diverge")
    outdone: str | None = Field(
        default=None, description="Why it was not judged: another rung did better; None: it was"
    )

    @property
    def seconds(self) -> float:
        """Seconds of training and evaluation."""
        return self.training_seconds + self.judged_seconds


class LadderResult(Record):
    """The rungs of one update: those outdone, then the others in the order considered.

    The last rung judged is the challenger's.
    """

    types: list[DriftType] = Field(default_factory=list, description="Types of drift that caused the update")
    total_rows: int = Field(default=0, description="Training rows, new and past, at this update")
    attempts: list[RungResult]

    @property
    def begun(self) -> list[RungResult]:
        """The rungs that were trained."""
        return [rung for rung in self.attempts if rung.skipped is None]

    @property
    def judged(self) -> list[RungResult]:
        """The rungs that led to a challenger."""
        return [rung for rung in self.begun if rung.diverged is None and rung.outdone is None]

    @property
    def passed(self) -> bool:
        """Whether a rung passed its gates."""
        return any(rung.passed for rung in self.begun)

    @property
    def training_seconds(self) -> float:
        """Training time of all rungs."""
        return sum(rung.training_seconds for rung in self.begun)
