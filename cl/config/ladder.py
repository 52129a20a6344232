"""How an update climbs the ladder, and what it may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import PluginSpec, Section


class LadderSettings(Section):
    """How an update climbs the ladder, rung by rung, until a challenger passes all gates."""

    pick: Literal["best", "first"] = Field(
        "best",
        description="best: train at every rung, take what does best on validation rows; first: the first that passes",
    )
    max_seconds: float | None = Field(
        None,
        gt=0,
        description="Maximum seconds of training and evaluation in one update; a rung that would exceed it is skipped",
    )
    max_rows: int | None = Field(
        None,
        ge=1,
        description="Maximum rows trained on in one update, over all epochs; a rung that would exceed it is skipped",
    )
    max_rungs: int | None = Field(None, ge=1, description="Maximum rungs tried in one update; 1: only one; null: all")
    memory: int = Field(
        5,
        ge=0,
        description="Past updates for the same types of drift that decide where the next one begins; 0: none",
    )


RUNG_TRAINING_KEYS = ("epochs", "steps", "batch_size", "learning_rate", "head_learning_rate")
"""Keys of ``training`` that a rung can override."""


class Rung(Section):
    """One way to learn: the settings that it overrides; null keeps the configuration's."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="Name in decisions and reports")
    growth: float = Field(
        1.0,
        ge=1,
        description="Try it again only once there are this many times the rows of its last time; 1: in every update",
    )
    below: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Try it only while no lower rung scores this much on validation rows; null: always",
    )
    strategy: PluginSpec | list[PluginSpec] | None = Field(None, description="Instead of strategy")
    tuning: PluginSpec | None = Field(None, description="Instead of model.tuning")
    epochs: int | None = Field(None, ge=1, description="Instead of training.epochs")
    steps: int | None = Field(None, ge=1, description="Instead of training.steps")
    batch_size: int | None = Field(None, ge=1, description="Instead of training.batch_size")
    learning_rate: float | None = Field(None, gt=0, description="Instead of training.learning_rate")
    head_learning_rate: float | None = Field(None, gt=0, description="Instead of training.head_learning_rate")
