"""When an update is worth its cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class DriftActions(Section):
    """What each type of drift asks for, when it is the only one."""

    inputs: Literal["learn", "hold", "none"] = Field("learn", description="Other texts, or other answers to them")
    labels: Literal["learn", "hold", "none"] = Field("learn", description="Known labels in other shares")
    new_classes: Literal["learn", "hold", "none"] = Field("learn", description="Labels never learnt")
    concept: Literal["learn", "hold", "none"] = Field("learn", description="The champion is right less often")


class DriftRungs(Section):
    """The rung of the ladder at which each type of drift is learnt; null: the first."""

    inputs: str | None = Field(None, description="Rung for other texts; null: the first of the ladder")
    labels: str | None = Field(None, description="Rung for known labels in other shares")
    new_classes: str | None = Field(None, description="Rung for labels never learnt")
    concept: str | None = Field(None, description="Rung for a champion that is right less often")


class DecisionSettings(Section):
    """When an update is worth its cost, and which kind of update it is."""

    answer: DriftActions = Field(
        default_factory=lambda: DriftActions(), description="Of several types: learn, then hold"
    )
    rung: DriftRungs = Field(
        default_factory=lambda: DriftRungs(), description="Of several types: the highest; an alarm that stays: one up"
    )
    min_rows: int = Field(20, ge=1, description="Fewer training rows are not learnt: they wait for more")
    max_waiting_rows: int | None = Field(
        None,
        ge=1,
        description="Learn once so many quiet training rows wait, drift or not; null: wait for drift",
    )
    min_avoidable_errors: int = Field(
        0, ge=0, description="Errors on the waiting rows that an update could have avoided, before it is worth it"
    )
    budget_hours: float | None = Field(
        None, gt=0, description="Hours of training within budget_days, after which nothing is learnt; null: no bound"
    )
    budget_days: int = Field(30, ge=1, description="Length of time that budget_hours is for")
    cool_down_hours: float = Field(0.0, ge=0, description="Time after a promotion in which nothing is learnt")
    max_repeats: int | None = Field(
        2, ge=1, description="Updates in a row that did not silence an alarm, until a person is called; null: never"
    )
