"""What the detectors saw, and what is done about it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record

DriftType = Literal["inputs", "labels", "new_classes", "concept"]

TYPE_OF_KIND: dict[str, DriftType] = {
    "inputs": "inputs",
    "predictions": "inputs",
    "labels": "labels",
    "new_labels": "new_classes",
    "performance": "concept",
}
"""What a finding's kind says about the change: other texts, other shares of the labels, labels that are new, or texts
that mean something else than they did."""


class ChangedGroup(Record):
    """A class or a word whose share of the rows has changed; or a slice of the rows whose score has."""

    name: str
    before: float = Field(description="Share in the reference, or score on it, 0 to 1")
    after: float = Field(description="Share in the new rows, or score on them, 0 to 1")
    low: float | None = Field(default=None, description="A score's 95 % interval on the new rows")
    high: float | None = None

    @property
    def is_score(self) -> bool:
        """Whether it is a score, which has an interval, and not a share."""
        return self.low is not None and self.high is not None


class Finding(Record):
    """What one detector saw."""

    detector: str
    kind: Literal["inputs", "labels", "new_labels", "predictions", "performance"]
    drifted: bool
    p_value: float | None = Field(default=None, description="None where the detector is a rule, not a test")
    statistic: float | None = None
    spread: float = Field(
        default=1.0, description="How much wider than its test says a detector's own quiet checks have scattered"
    )
    explained_by: str | None = Field(
        default=None, description="Detector whose alarm is the cause: beside like labels, nothing is left of this one"
    )
    summary: str = Field(description="One sentence for people, with the numbers")
    moved: list[ChangedGroup] = Field(
        default_factory=list, description="Classes or words that moved most, the first most"
    )
    examples: list[str] = Field(default_factory=list, description="Ids of rows that show it best")


class Drift(Record):
    """All findings on one experience, and whether any of them counts after correction."""

    experience: str
    drifted: bool
    findings: list[Finding] = Field(default_factory=list)
    check: int | None = Field(default=None, description="Which check of this stream it was, from 1; None: no champion")
    level: float | None = Field(default=None, description="This check's share of drift.alpha")
    new_labels: list[str] = Field(default_factory=list)
    champion_score: float | None = Field(default=None, description="The champion on the new rows")
    promotion_score: float | None = Field(default=None, description="The champion's test score at promotion")
    report: str | None = Field(
        default=None, description="Folder with Evidently's drift.html and drift.json; in the end, of the MLflow run"
    )

    @property
    def types(self) -> list[DriftType]:
        """What kinds of change the alarms stand for; each asks for another answer.

        An alarm that another one explains stands for nothing by itself.
        """
        loud = [finding for finding in self.findings if finding.drifted and finding.explained_by is None]
        return sorted({TYPE_OF_KIND[finding.kind] for finding in loud})
