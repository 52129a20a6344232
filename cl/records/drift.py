"""The findings of the drift detectors."""

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
"""The type of drift behind each kind of finding: changed texts, changed label shares, new labels, or texts whose
meaning has changed."""


class ChangedGroup(Record):
    """A class or word whose share of the rows has changed, or a slice of the rows whose score has changed."""

    name: str
    before: float = Field(description="Share in the reference, or score on it, 0 to 1")
    after: float = Field(description="Share in the new rows, or score on them, 0 to 1")
    low: float | None = Field(default=None, description="A score's 95 % interval on the new rows")
    high: float | None = None

    @property
    def is_score(self) -> bool:
        """Whether it is a score, which has an interval, rather than a share."""
        return self.low is not None and self.high is not None


class Finding(Record):
    """The finding of one detector."""

    detector: str
    kind: Literal["inputs", "labels", "new_labels", "predictions", "performance"]
    drifted: bool
    p_value: float | None = Field(default=None, description="None where the detector is a rule, not a test")
    statistic: float | None = None
    spread: float = Field(
        default=1.0, description="Dispersion of the detector's past checks without an alarm, relative to its test"
    )
    explained_by: str | None = Field(
        default=None, description="Detector that explains this alarm: with labels matched, it disappears"
    )
    summary: str = Field(description="One readable sentence with the numbers")
    moved: list[ChangedGroup] = Field(
        default_factory=list, description="Classes or words that changed most, largest change first"
    )
    examples: list[str] = Field(default_factory=list, description="Ids of rows that show it best")


class Drift(Record):
    """All findings on one experience, and whether any is significant after correction."""

    experience: str
    drifted: bool
    findings: list[Finding] = Field(default_factory=list)
    check: int | None = Field(default=None, description="Which check of this stream it was, from 1; None: no champion")
    level: float | None = Field(default=None, description="This check's share of drift.alpha")
    new_labels: list[str] = Field(default_factory=list)
    champion_score: float | None = Field(default=None, description="The champion's score on the new rows")
    rows: int = Field(default=0, description="Rows that the champion answered")
    metric: str = Field(default="row score", description="What champion_score is")
    promotion_score: float | None = Field(default=None, description="The champion's test score at promotion")
    report: str | None = Field(
        default=None,
        description="Folder with Evidently's drift.html and drift.json; after the cycle, an artifact of its run",
    )

    @property
    def types(self) -> list[DriftType]:
        """The types of drift behind the alarms; an alarm that another one explains does not count."""
        alarms = [finding for finding in self.findings if finding.drifted and finding.explained_by is None]
        return sorted({TYPE_OF_KIND[finding.kind] for finding in alarms})
