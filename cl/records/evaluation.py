"""What was trained, and how good it is."""

from __future__ import annotations

from pydantic import Field

from cl.records.record import Record


class Training(Record):
    """What a fine-tune did, and where the challenger lies."""

    challenger: str = Field(description="Folder of the saved learner")
    experiences: list[str] = Field(description="Experiences learnt in this cycle, oldest first")
    labels_added: list[str] = Field(default_factory=list)
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
    metrics: dict[str, float] = Field(default_factory=dict)


class Evaluation(Record):
    """Challenger and champion on the same test rows of every experience so far."""

    metric: str = Field(description="Name of the main metric: accuracy, f1")
    challenger: list[Score]
    champion: list[Score] = Field(default_factory=list)
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
    numbers: dict[str, float] = Field(
        default_factory=dict, description="What was measured of the challenger, by name: brier, latency_p95_ms, ..."
    )
    champion_numbers: dict[str, float] = Field(default_factory=dict, description="The same of the champion")
    predictions: str = Field(description="Parquet: experience, id, target, challenger, champion, right or wrong")

    @property
    def forgetting_max(self) -> float:
        """The worst forgetting of any past experience; 0 when there is none."""
        return max(self.forgetting.values(), default=0.0)
