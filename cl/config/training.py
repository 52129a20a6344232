"""The encoder, how one update is trained, and the rungs of the ladder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from cl.config.section import PluginSpec, Section, check_plugin


class ModelSettings(Section):
    """The pretrained encoder and which part of it moves."""

    name: str = Field(
        "minilm",
        description="Hugging Face hub id, a local folder, or `minilm`: the packaged all-MiniLM-L6-v2",
    )
    max_length: int = Field(128, ge=4, le=8192, description="Tokens; longer rows are cut")
    tuning: PluginSpec = Field("full", description="Which part of the encoder moves; a file in cl/models/tunings")
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Before the head")
    encoder_dropout: bool = Field(
        False, description="Keep the pretrained encoder's own dropout in training; it costs up to a third of the speed"
    )

    @field_validator("tuning")
    @classmethod
    def _tuning_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("tunings", spec)


class ControlSettings(Section):
    """The naive control arm: it learns the new rows alone, from the same start, to show what is gained by more."""

    rows: int = Field(500, ge=1, description="New training rows that it learns, drawn at random, at most")
    epochs: int = Field(3, ge=1, description="At most; training.epochs if that is less")


class TrainingSettings(Section):
    """How one update is trained."""

    epochs: int = Field(6, ge=1, description="At most; early stopping may end sooner")
    batch_size: int = Field(32, ge=1, description="Rows a step")
    learning_rate: float = Field(1e-4, gt=0, description="Peak rate of the encoder (AdamW)")
    head_learning_rate: float = Field(2e-3, gt=0, description="Peak rate of the head")
    weight_decay: float = Field(0.01, ge=0, description="On weight matrices, not on biases and norms")
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of steps until the peak rate; linear decay after")
    clip_norm: float = Field(1.0, gt=0, description="Gradients are scaled down to this norm")
    patience: int = Field(2, ge=1, description="Stop after this many epochs without a better validation score")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the machine computes it natively"
    )
    control: ControlSettings | None = Field(
        None,
        description="Train a cheap naive arm beside each update, {rows: 500, epochs: 3}, and tell what forgetting was "
        "avoided and at what cost to the new; null: off",
    )
