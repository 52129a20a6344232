"""The records that pass between stages: frozen, small, JSON-able; paths and numbers, never tensors."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SPLITS = ("train", "validation", "test")


class Record(BaseModel):
    """Base of all records: immutable, compared by value, saved as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Experience(Record):
    """One batch of the stream as it was written: immutable once ingested."""

    id: str = Field(description="Sortable: its place in the stream and its name, such as 0003-month-3")
    name: str
    source: str = Field(description="What it was read from, without credentials")
    ingested_at: datetime
    rows: dict[str, int] = Field(description="Rows of each split")
    labels: dict[str, int] = Field(description="Rows of each label (text) or entity type (tokens)")
    quarantined: dict[str, int] = Field(default_factory=dict, description="Reason -> rows set aside")
    duplicates: int = Field(default=0, description="Rows that stood twice in this batch")
    seen: int = Field(default=0, description="Rows that an earlier experience already held")
    digest: str = Field(description="SHA-256 over its Parquet files")

    @property
    def total(self) -> int:
        """Rows in all splits together."""
        return sum(self.rows.values())

    @property
    def quarantined_rows(self) -> int:
        """Rows set aside, whatever the reason."""
        return sum(self.quarantined.values())


class Validation(Record):
    """Whether a batch as a whole is fit to learn from."""

    passed: bool
    problems: list[str] = []


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


class Moved(Record):
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
    moved: list[Moved] = Field(default_factory=list, description="Classes or words that moved most, the first most")
    examples: list[str] = Field(default_factory=list, description="Ids of rows that show it best")


class Drift(Record):
    """All findings on one experience, and whether any of them counts after correction."""

    experience: str
    drifted: bool
    findings: list[Finding] = []
    check: int | None = Field(default=None, description="Which check of this stream it was, from 1; None: no champion")
    level: float | None = Field(default=None, description="This check's share of drift.alpha")
    new_labels: list[str] = []
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


class Decision(Record):
    """What to do about an experience, and why, in words."""

    action: Literal["none", "learn", "hold"]
    reasons: list[str]
    rung: str | None = Field(default=None, description="Of the ladder, where there is one and something is learnt")
    postponed: bool = Field(default=False, description="A bound puts it off, and later cycles ask for it again")


class Training(Record):
    """What a fine-tune did, and where the challenger lies."""

    challenger: str = Field(description="Folder of the saved learner")
    experiences: list[str] = Field(description="Experiences learnt in this cycle, oldest first")
    labels_added: list[str] = []
    epochs: int
    steps: int
    rows_new: int
    rows_learnt: int = Field(default=0, description="Rows of all kinds, each as often as it was learnt")
    rows_recalled: int = Field(description="Rows of the past that were rehearsed, summed over epochs")
    seconds: float
    validation_score: float
    losses: list[float] = Field(description="Mean training loss of each epoch")


class Score(Record):
    """One model on one experience's test rows."""

    experience: str
    rows: int
    value: float = Field(description="The task's main metric, 0 to 1")
    metrics: dict[str, float] = {}


class Evaluation(Record):
    """Challenger and champion on the same test rows of every experience so far."""

    metric: str = Field(description="Name of the main metric: accuracy, f1")
    challenger: list[Score]
    champion: list[Score] = []
    accuracy: float = Field(description="ACC: mean of the challenger's scores over experiences")
    champion_accuracy: float | None = None
    backward_transfer: float | None = Field(default=None, description="BWT; None before the second row of R")
    forgetting: dict[str, float] = Field(
        default_factory=dict, description="Per past experience: best score so far minus score now"
    )
    matrix: dict[str, dict[str, float]] = Field(
        default_factory=dict,
        description="R: experience learnt -> experience tested -> score, this row last",
    )
    calibration_error: float = Field(description="Expected calibration error over all test rows, 0 to 1")
    latency_ms: float = Field(description="Median time of one prediction of one row")
    size_mb: float = Field(description="The learner's weights on disk")
    predictions: str = Field(description="Parquet: experience, id, target, challenger, champion, right or wrong")

    @property
    def forgetting_max(self) -> float:
        """The worst forgetting of any past experience; 0 when there is none."""
        return max(self.forgetting.values(), default=0.0)


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


class Registration(Record):
    """The registry version that a challenger became."""

    version: str
    passed: bool


class Promotion(Record):
    """Which registry version came of a cycle, and whether it serves now."""

    version: str
    promoted: bool
    champion_before: str | None = None
    champion_after: str | None = None


class Cycle(Record):
    """Everything that one cycle found and did: one line of `cl history`."""

    id: str
    experience: Experience
    started_at: datetime = Field(description="When its look was made, which may be long before the cycle")
    seconds: float = Field(description="Of work; where it was killed, since it went on")
    ended_at: datetime | None = Field(default=None, description="None in cycles of older versions")
    data_version: str = Field(description="DVC's hash of data/")
    champion_before: str | None = None
    validation: Validation
    drift: Drift
    decision: Decision
    training: Training | None = None
    evaluation: Evaluation | None = None
    gates: GateReport | None = None
    promotion: Promotion | None = None
    champion_after: str | None = None
    run: str | None = Field(default=None, description="Id of its MLflow run")

    @property
    def verdict(self) -> Literal["promoted", "refused", "none", "held"]:
        """How it ended, in one word."""
        if self.decision.action == "hold":
            return "held"
        if self.promotion is None:
            return "none"
        return "promoted" if self.promotion.promoted else "refused"


class VersionInfo(Record):
    """One registered version."""

    version: str
    created: datetime
    run_id: str
    tags: dict[str, str]
    aliases: list[str]


class LedgerEntry(Record):
    """One move of the champion: who, when, from, to, why."""

    sequence: int
    at: datetime
    actor: str
    action: Literal["promote", "rollback", "adopt"]
    from_version: str | None
    to_version: str
    why: str
    state: Literal["intent", "committed", "abandoned"]
