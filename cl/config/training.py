"""The encoder, and how an update is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from cl.config.section import PluginSpec, Section, check_plugin


class WindowSettings(Section):
    """How texts longer than ``model.max_length`` are read: in windows of that length."""

    overlap: int = Field(32, ge=0, description="Tokens that a window shares with the next")
    at_most: int = Field(16, ge=2, le=512, description="Windows of a text; what comes after them is cut")


class ModelSettings(Section):
    """The pretrained encoder, and which part of it is trained."""

    name: str = Field(
        "minilm",
        description="Hugging Face Hub id, local folder, or a packaged model: `minilm` (all-MiniLM-L6-v2), and for "
        "tasks that write text `smollm2` (SmolLM2-135M-Instruct)",
    )
    max_length: int = Field(128, ge=4, le=8192, description="Maximum tokens of a row; longer rows are truncated")
    windows: WindowSettings | None = Field(
        None,
        description="Read longer rows in overlapping windows, e.g. {overlap: 32, at_most: 16}, in place of truncating "
        "them; null: truncate",
    )
    tuning: PluginSpec = Field("full", description="Which part of the encoder is trained; a file in cl/models/tunings")
    pooling: Literal["auto", "mean", "last"] = Field(
        "auto",
        description="How a text's states become one vector: their mean, or the state of its last token; auto: last for "
        "a decoder, whose tokens see only those before them, mean for every other model",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Number format of the weights that are not trained; bfloat16 takes half the memory and disk, and "
        "the encoder then computes in bfloat16 everywhere. What is trained is always float32",
    )
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Dropout before the head")
    encoder_dropout: bool = Field(
        False,
        description="Keep the pretrained encoder's own dropout in training; it makes training up to a third slower",
    )

    @field_validator("tuning")
    @classmethod
    def _tuning_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("tunings", spec)


class ControlSettings(Section):
    """The naive control arm: trained on the new rows only, from the same start, as a baseline for the strategy."""

    rows: int = Field(500, ge=1, description="Maximum number of new training rows, drawn at random")
    epochs: int = Field(3, ge=1, description="Maximum epochs; training.epochs if that is less")


class AugmentSettings(Section):
    """How texts of training rows are changed at random, drawn in each epoch; a changed row keeps its label."""

    share: float = Field(0.5, gt=0, le=1, description="Share of an epoch's rows that are changed")
    word_dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of the words that a changed text loses; 0: no text loses words"
    )
    typing_errors: float = Field(
        0.1, ge=0, le=1, description="Share of a changed text's longer words with a typing error; 0: none are mistyped"
    )
    replaced_words: float = Field(
        0.0, ge=0, le=1, description="Share of a changed text's words that masked_model replaces; 0: none are replaced"
    )
    masked_model: str | None = Field(
        None, description="Masked language model that replaces words: Hugging Face Hub id or local folder"
    )

    @model_validator(mode="after")
    def _changes_something(self) -> AugmentSettings:
        if not (self.word_dropout or self.typing_errors or self.replaced_words):
            raise ValueError("word_dropout, typing_errors and replaced_words are all 0; raise one, or remove augment")
        if bool(self.replaced_words) != (self.masked_model is not None):
            raise ValueError("replaced_words and masked_model need each other; set both, or neither")
        return self


class TrainingSettings(Section):
    """How one update is trained."""

    epochs: int = Field(6, ge=1, description="Maximum epochs; early stopping may end sooner")
    steps: int | None = Field(
        None,
        ge=1,
        description="Maximum optimiser steps of an update, over all epochs; null: as many as the epochs have",
    )
    batch_size: int = Field(32, ge=1, description="Rows of a batch")
    batch_tokens: int | None = Field(
        None,
        ge=1,
        description="Most tokens of a batch, in place of batch_size rows; a longer row is a batch of its own; null: "
        "count rows",
    )
    accumulate: int = Field(
        1, ge=1, description="Batches per step: their gradients are added up, as if they were one, in the memory of one"
    )
    recompute: bool = Field(
        False,
        description="Compute the states inside the encoder's layers again in the backward pass instead of keeping "
        "them: less memory, about a third more time, the same result",
    )
    packing: bool = Field(
        True,
        description="Causal language models of known architectures read the rows of a batch end to end, each by "
        "itself, instead of padded; other models pad",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Peak learning rate of the encoder (AdamW)")
    head_learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate of the head")
    weight_decay: float = Field(0.01, ge=0, description="Applied to weight matrices, not to biases and norms")
    schedule: Literal["linear", "cosine", "warmup_stable_decay"] = Field(
        "linear",
        description="How the learning rate falls to zero after the warmup: linearly, along a cosine, or only over the "
        "last steps",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="Share of steps until the peak rate")
    decay: float = Field(
        0.1, gt=0, le=1, description="Share of steps over which warmup_stable_decay falls; the others fall all the time"
    )
    clip_norm: float = Field(1.0, gt=0, description="Maximum gradient norm")
    patience: int = Field(2, ge=1, description="Epochs without a better validation score before training stops")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware supports it"
    )
    checkpoint_seconds: float = Field(
        60.0,
        ge=0,
        description="Least seconds between two checkpoints, each after a step; a killed run goes on from the last",
    )
    augment: AugmentSettings | None = Field(
        None,
        description="Change texts of training rows at random, e.g. {word_dropout: 0.1, typing_errors: 0.1}; heads in "
        "closed form are solved on unchanged rows; null: off",
    )
    control: ControlSettings | None = Field(
        None,
        description="Also train a cheap naive control arm, e.g. {rows: 500, epochs: 3}, and report how much forgetting "
        "the strategy avoided and what it cost on the new data; null: off",
    )
