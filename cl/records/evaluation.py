"""The evaluation of a challenger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.records.record import Record

if TYPE_CHECKING:
    import pandas as pd

    Groups = dict[str, pd.DataFrame]


class Score(Record):
    """The score of one model on one experience's test rows."""

    experience: str
    rows: int
    value: float = Field(description="The task's main metric, 0 to 1")
    metrics: dict[str, float] = Field(default_factory=dict)


class Control(Record):
    """The naive control arm on the same test rows: forgetting avoided, and its cost on the new experiences."""

    scores: list[Score]
    rows: int = Field(description="New rows that it was trained on")
    epochs: int
    seconds: float = Field(description="Training time")
    forgetting_avoided: float | None = Field(
        description="Challenger minus control arm, mean over past experiences; None: none has test rows"
    )
    learning_cost: float | None = Field(
        description="Control arm minus challenger, mean over the new experiences; negative: nothing was lost"
    )

    @property
    def numbers(self) -> dict[str, float]:
        """Its measurements by name, as gates refer to them."""
        numbers = {"forgetting_avoided": self.forgetting_avoided, "learning_cost": self.learning_cost}
        return {name: value for name, value in numbers.items() if value is not None}


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
        description="R: experience learned -> experience tested -> score, this update last",
    )
    calibration_error: float = Field(description="Expected calibration error over all test rows, 0 to 1")
    latency_ms: float = Field(description="Median latency for one row")
    size_mb: float = Field(description="Size of the learner's weights on disk")
    numbers: dict[str, float] = Field(
        default_factory=dict, description="Further measurements of the challenger, by name: brier, latency_p95_ms, ..."
    )
    champion_numbers: dict[str, float] = Field(default_factory=dict, description="The same for the champion")
    per_class: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="Challenger: class -> count, precision, recall, f1 over all test rows"
    )
    champion_per_class: dict[str, dict[str, float]] = Field(
        default_factory=dict, description="The same for the champion"
    )
    control: Control | None = Field(default=None, description="The naive control arm; None: there was none")
    predictions: str = Field(
        description="Parquet file, one row per test row: experience, id, target, chars (the text's length); the "
        "challenger's answer, score, confidence and Brier score; the same for the champion; best_score"
    )

    @property
    def forgetting_max(self) -> float:
        """The largest forgetting of any past experience; 0 when there is none."""
        return max(self.forgetting.values(), default=0.0)


STORED = frozenset(
    {"experience", "id", "target", "chars", "best_score"}
    | {f"{who}{what}" for who in ("challenger", "champion") for what in ("", "_score", "_brier")}
    | {"confidence", "champion_confidence"}
)
"""The columns that an evaluation stores for every row; a data column is stored only if a gate needs it."""


NUMERIC_COLUMNS = frozenset(
    {"chars", "best_score", "confidence", "champion_confidence"}
    | {f"{model}_{number}" for model in ("challenger", "champion") for number in ("score", "brier")}
)
"""The stored columns that hold numbers; all others hold text."""
