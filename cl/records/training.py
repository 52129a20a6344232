"""What was trained."""

from __future__ import annotations

from pydantic import Field

from cl.records.compression import Form
from cl.records.record import Record


class Training(Record):
    """What a fine-tune did, and where the challenger lies."""

    challenger: str = Field(description="Folder of the saved learner")
    rung: str | None = Field(default=None, description="Of the ladder, where there is one")
    form: Form | None = Field(default=None, description="What was derived; None: it was learnt")
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


class ControlArm(Record):
    """The naive control arm of an update: what it learnt, and where it lies."""

    folder: str = Field(description="Of the saved learner; it is never registered")
    experiences: list[str] = Field(description="Experiences learnt in this cycle, oldest first")
    rows: int = Field(description="New rows that it learnt")
    epochs: int
    seconds: float
