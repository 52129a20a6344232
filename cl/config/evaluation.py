"""What is measured of challenger and champion beside their scores, and how it is proved that a version serves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section

Robustness = Literal["typos", "casing", "adversarial"]


class OutOfScope(Section):
    """Which rows are out of scope: the model should be unsure of them, or say so."""

    label: str | None = Field(None, description="Label of test rows that are out of scope, such as oos; null: none is")
    file: str | None = Field(
        None, description="Text file in the project with one out-of-scope text a line; null: no such file"
    )


class EvaluationSettings(Section):
    """What is measured beside scores, and at what cost."""

    robustness: list[Robustness] = Field(
        ["typos", "casing", "adversarial"], description="Ways to disturb the texts that are scored once more; []: none"
    )
    robustness_rows: int = Field(64, ge=1, description="Test rows that are disturbed, drawn at random, at most")
    typos: float = Field(0.3, gt=0, le=1, description="Share of words with a typing error, of those of four letters")
    epsilon: float = Field(
        0.01, gt=0, le=1, description="How far adversarial moves a word's embedding, in shares of its length"
    )
    latency_calls: int = Field(30, ge=1, description="Predictions of one row that are timed, for each model")
    throughput_rows: int = Field(64, ge=1, description="Test rows that are timed together, and fill memory, at most")
    out_of_scope: OutOfScope = Field(
        default_factory=lambda: OutOfScope(), description="Rows for the out-of-scope AUROC; without any, there is none"
    )
    smoke_rows: int = Field(
        8,
        ge=0,
        description="Test rows that the registered version, loaded in a fresh process, must answer as it was "
        "evaluated before it is promoted; 0: no such test",
    )
