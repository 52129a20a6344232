"""The record of a cycle."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from cl.records.compression import CompressionResult
from cl.records.decision import Decision, Gain
from cl.records.drift import Drift
from cl.records.evaluation import Evaluation
from cl.records.experience import Experience, Validation
from cl.records.gates import GateReport
from cl.records.ladder import LadderResult
from cl.records.record import Record
from cl.records.registry import Promotion
from cl.records.training import Training

CycleVerdict = Literal["promoted", "refused", "none", "held", "waiting", "canary", "shadow"]


class CycleOutline(Record):
    """What later cycles need to know of a finished one: small, of constant size, and without the ids of rows."""

    id: str
    experience: str
    started_at: datetime
    ended_at: datetime
    verdict: CycleVerdict
    action: Literal["none", "learn", "hold"]
    postponed: bool = False
    drift: Drift = Field(description="Without the report, and without the rows that show it")
    trained: bool = Field(default=False, description="Whether it has trained a challenger")
    training_seconds: float = 0.0
    rung: str | None = None
    climb: LadderResult | None = None
    version: str | None = Field(default=None, description="The version that its promotion was about")
    promoted: bool = False


class Cycle(Record):
    """Everything that a cycle found and did: one line of `cl history`."""

    id: str
    experience: Experience
    started_at: datetime = Field(description="When its drift check was made, possibly long before the cycle")
    seconds: float = Field(description="Run time; if it was killed, since it was resumed")
    ended_at: datetime | None = Field(default=None, description="None in cycles of older releases")
    data_version: str = Field(description="DVC's hash of data/")
    champion_before: str | None = None
    validation: Validation
    drift: Drift
    gain: Gain = Field(default_factory=lambda: Gain(), description="What the update was expected to gain")
    decision: Decision
    climb: LadderResult | None = Field(default=None, description="The rungs that were tried; None: there is no ladder")
    training: Training | None = Field(
        default=None, description="Training of the challenger, at the last rung that was evaluated"
    )
    evaluation: Evaluation | None = None
    gates: GateReport | None = None
    derived: list[CompressionResult] = Field(
        default_factory=list,
        description="Compressed versions of the challenger; evaluation and gates belong to the chosen one",
    )
    promotion: Promotion | None = None
    champion_after: str | None = None
    run: str | None = Field(default=None, description="Id of its MLflow run")

    @property
    def rung(self) -> str | None:
        """The rung of the ladder at which its challenger was trained; None: there was no ladder."""
        return (self.training.rung if self.training else None) or self.decision.rung

    @property
    def training_seconds(self) -> float:
        """Seconds of all training, including rungs that failed their gates."""
        return self.climb.training_seconds if self.climb else self.training.seconds if self.training else 0.0

    @property
    def chosen(self) -> CompressionResult | None:
        """The compressed version that replaced the challenger; None: none did."""
        version = self.promotion.version if self.promotion else None
        return next((result for result in self.derived if result.version == version), None)

    @property
    def outline(self) -> CycleOutline:
        """What later cycles need to know of it."""
        findings = [finding.model_copy(update={"examples": []}) for finding in self.drift.findings]
        return CycleOutline(
            id=self.id,
            experience=self.experience.id,
            started_at=self.started_at,
            ended_at=self.ended_at or self.started_at + timedelta(seconds=self.seconds),
            verdict=self.verdict,
            action=self.decision.action,
            postponed=self.decision.postponed,
            drift=self.drift.model_copy(update={"findings": findings, "report": None}),
            trained=self.training is not None,
            training_seconds=self.training_seconds,
            rung=self.rung,
            climb=self.climb,
            version=self.promotion.version if self.promotion else None,
            promoted=self.promotion.promoted if self.promotion else False,
        )

    @property
    def verdict(self) -> CycleVerdict:
        """The outcome in one word."""
        if self.decision.action == "hold":
            return "held"
        if self.promotion is None:
            return "none"
        if self.promotion.waiting:
            return "waiting"
        return self.promotion.trial_alias or ("promoted" if self.promotion.promoted else "refused")
