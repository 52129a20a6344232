"""Where a version comes from and what it knows."""

from __future__ import annotations

from pydantic import Field

from cl.records import Form, Record


class History(Record):
    """Where a version comes from and what it knows."""

    learnt: list[str] = Field(default_factory=list, description="Experiences that were trained on, oldest first")
    matrix: dict[str, dict[str, float]] = Field(default_factory=dict, description="R, one row for each update")
    score: float | None = Field(default=None, description="Mean row score over all test rows at promotion")
    cycle: str = ""
    parent: str | None = Field(default=None, description="The registry version it was trained from")
    rung: str | None = Field(default=None, description="Of the ladder, where there was one, at which it was learnt")
    form: Form | None = Field(
        default=None, description="How it was derived from its parent, its teacher; None: it was learnt"
    )
    base_model: str = ""
    data_version: str = Field(default="", description="DVC's hash of data/ when it was trained")
    data_dvc: str = Field(default="", description="Text of data.dvc: with the DVC remote it brings the data back")
    config: dict[str, object] = Field(default_factory=dict)
    config_digest: str = Field(default="", description="Hash of all that decides the outcome of a cycle")
    residual_experiences: list[str] = Field(
        default_factory=list, description="Experiences that lost rows which its weights have learnt from"
    )
    seed: int = 0
    git_commit: str | None = None
    packages: dict[str, str] = Field(default_factory=dict)
    machine: dict[str, str] = Field(default_factory=dict, description="What computed it: bits may depend on it")
