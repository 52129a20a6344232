"""How an update climbs the ladder, and what it may cost."""

from __future__ import annotations

from pydantic import Field

from cl.config.section import PluginSpec, Section


class LadderSettings(Section):
    """How an update climbs the ladder: from rung to rung, until a challenger passes all gates."""

    max_seconds: float | None = Field(
        None, gt=0, description="Seconds of training and judging in one update; a rung that would not fit is not begun"
    )
    max_rows: int | None = Field(
        None,
        ge=1,
        description="Rows learnt in one update, each as often as it is; a rung that would not fit is not begun",
    )
    max_rungs: int | None = Field(None, ge=1, description="Rungs tried in one update; 1: never climb; null: all")
    memory: int = Field(
        5,
        ge=0,
        description="Updates for the same types of drift whose climbs say where the next one begins; 0: none",
    )


class Rung(Section):
    """One way to learn: what it changes in the configuration; the rest stays."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="What decisions and reports call it")
    strategy: PluginSpec | list[PluginSpec] | None = Field(None, description="In place of strategy")
    tuning: PluginSpec | None = Field(None, description="In place of model.tuning")
    epochs: int | None = Field(None, ge=1, description="In place of training.epochs")
    learning_rate: float | None = Field(None, gt=0, description="In place of training.learning_rate")
    head_learning_rate: float | None = Field(None, gt=0, description="In place of training.head_learning_rate")
