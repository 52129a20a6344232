"""The origin of a version, and what it has learned."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from cl.records import Form, Record
from cl.records.past_scores import PastScores, from_matrix


class History(Record):
    """The origin of a version, and what it has learned."""

    learnt: list[str] = Field(default_factory=list, description="Experiences that it was trained on, oldest first")
    scores: PastScores = Field(
        default_factory=lambda: PastScores(), description="The accuracy matrix R up to this version, in running form"
    )
    score: float | None = Field(default=None, description="Mean row score over all test rows at promotion")
    cycle: str = ""
    parent: str | None = Field(default=None, description="The registry version it was trained from")
    rung: str | None = Field(
        default=None, description="Rung of the ladder at which it was trained; None: there was no ladder"
    )
    form: Form | None = Field(
        default=None, description="How it was compressed from its parent, its teacher; None: it was trained"
    )
    base_model: str = ""
    data_version: str = Field(default="", description="DVC's hash of data/ when it was trained")
    data_dvc: str = Field(default="", description="Text of data.dvc; with the DVC remote it restores the data")
    config: dict[str, object] = Field(default_factory=dict)
    config_digest: str = Field(default="", description="Hash of all settings that decide the outcome of a cycle")
    residual_experiences: list[str] = Field(
        default_factory=list, description="Experiences that lost rows on which its weights were trained"
    )
    corrections: int = Field(default=0, description="Corrections of data/ that it has learned from, or was made after")
    label_changes: int = Field(default=0, description="Changes of the labels that it was made after")
    former_labels: dict[str, str | None] = Field(
        default_factory=dict, description="Former label -> its name when this version was made; None: it had none"
    )
    seed: int = 0
    git_commit: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str] = Field(
        default_factory=dict, description="Hardware and platform; results may differ in the last bits elsewhere"
    )

    @model_validator(mode="before")
    @classmethod
    def _read_matrix(cls, values: Any) -> Any:
        """Read the whole matrix that older releases have stored with each version."""
        if not isinstance(values, dict) or "matrix" not in values:
            return values
        rest = {key: value for key, value in values.items() if key != "matrix"}
        return {**rest, "scores": from_matrix(values["matrix"])}
