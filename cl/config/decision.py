"""When an update is worth its cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class DriftActions(Section):
    """What to do about each type of drift when it is the only one."""

    inputs: Literal["learn", "hold", "none"] = Field(
        "learn", description="The texts, or the model's answers to them, have changed"
    )
    labels: Literal["learn", "hold", "none"] = Field("learn", description="The shares of known labels have changed")
    new_classes: Literal["learn", "hold", "none"] = Field(
        "learn", description="There are labels that the champion does not know"
    )
    concept: Literal["learn", "hold", "none"] = Field("learn", description="The champion's score has dropped")


class DriftRungs(Section):
    """The rung of the ladder at which to begin for each type of drift; null: the first."""

    inputs: str | None = Field(None, description="Rung for changed texts; null: the first of the ladder")
    labels: str | None = Field(None, description="Rung for changed label shares; null: the first")
    new_classes: str | None = Field(None, description="Rung for new labels; null: the first")
    concept: str | None = Field(None, description="Rung for a drop in the champion's score; null: the first")


class DecisionSettings(Section):
    """When an update is worth its cost, and which kind of update it is."""

    answer: DriftActions = Field(
        default_factory=lambda: DriftActions(),
        description="What to do about each type of drift; of several: learn wins over hold, hold over none",
    )
    rung: DriftRungs = Field(
        default_factory=lambda: DriftRungs(),
        description="Where an update begins; several types: the highest rung; an alarm that an update did not "
        "resolve: one up",
    )
    min_rows: int = Field(20, ge=1, description="Fewer training rows than this wait for more")
    min_gain: float | None = Field(
        0.01,
        ge=0,
        lt=1,
        description="Learn without drift if an update may answer this share more of all rows right, by the upper end "
        "of a 90 % interval; null: wait for drift",
    )
    max_waiting_rows: int | None = Field(
        None,
        ge=1,
        description="Learn without drift once this many training rows wait; null: wait for drift",
    )
    min_avoidable_errors: int = Field(
        0, ge=0, description="Minimum number of errors on the waiting rows that an update could have avoided"
    )
    budget_hours: float | None = Field(
        None, gt=0, description="Maximum hours of training within budget_days; null: no limit"
    )
    budget_days: int = Field(30, ge=1, description="Period of budget_hours, in days")
    cool_down_hours: float = Field(0.0, ge=0, description="Hours after a promotion without a further update")
    max_repeats: int | None = Field(
        2,
        ge=1,
        description="Consecutive updates that may fail to resolve an alarm before manual review is required; null: "
        "no limit",
    )
