"""Results of training."""

from __future__ import annotations

from pydantic import Field

from cl.records.compression import Form
from cl.records.record import Record


class Training(Record):
    """The result of a fine-tuning, and where the challenger is saved."""

    challenger: str = Field(description="Folder of the saved learner")
    rung: str | None = Field(default=None, description="Rung of the ladder; None: there is no ladder")
    form: Form | None = Field(default=None, description="How it was compressed; None: it was trained")
    experiences: list[str] = Field(description="Experiences learned in this cycle, oldest first")
    labels_added: list[str] = Field(default_factory=list)
    epochs: int
    steps: int
    rows_new: int
    rows_cut: int = Field(default=0, description="New rows longer than the model reads, learned without their ends")
    most_tokens: int | None = Field(default=None, description="Tokens of a row that it reads; None: not recorded")
    rows_learnt: int = Field(default=0, description="Rows of all kinds trained on, over all epochs")
    rows_recalled: int = Field(description="Past rows that were rehearsed, over all epochs")
    seconds: float
    validation_score: float | None = Field(description="None: the validation rows cannot decide one")
    losses: list[float] = Field(description="Mean training loss of each epoch")
    validation_scores: list[float | None] = Field(
        default_factory=list, description="Score on the validation rows after each epoch; none of a closed form"
    )


class ControlArm(Record):
    """The naive control arm of an update: what it was trained on, and where it is saved."""

    folder: str = Field(description="Folder of the saved learner, which is never registered")
    experiences: list[str] = Field(description="Experiences learned in this cycle, oldest first")
    rows: int = Field(description="New rows that it was trained on")
    epochs: int
    seconds: float


def validation_rank(score: float | None) -> float:
    """Return where a validation score stands among others on the same rows.

    An undecided score found no fault: on the same rows, any other score comes from a false entity.
    """
    return 1.0 if score is None else score
