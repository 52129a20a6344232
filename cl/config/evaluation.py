"""What is measured of challenger and champion in addition to scores, and the smoke test of a registered version."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section

Robustness = Literal["typos", "casing", "adversarial"]


class OutOfScope(Section):
    """Which rows are out of scope: the model should answer them with low confidence or an out-of-scope label."""

    label: str | None = Field(None, description="Label of out-of-scope test rows, such as oos; null: none")
    file: str | None = Field(
        None, description="Text file in the project with one out-of-scope text per line; null: none"
    )


class EvaluationSettings(Section):
    """What is measured in addition to scores, and on how many rows."""

    max_rows: int | None = Field(
        4_000,
        ge=200,
        description="Most test rows in an evaluation; past experiences share them, and take turns where there are too "
        "many; null: all rows of all experiences",
    )
    generate_rows: int | None = Field(
        200,
        ge=1,
        description="Most test rows that a language model answers by writing, and is scored on: experiences share them "
        "evenly, and of each, the rows with the smallest hash of their id are taken; how probable the true answers are "
        "is measured on all test rows; null: all are written",
    )
    baselines: bool = Field(
        True,
        description="Whether to score the majority class, the nearest class mean and logistic regression on frozen "
        "features on the same rows as every challenger",
    )
    robustness: list[Robustness] = Field(
        ["typos", "casing", "adversarial"], description="Perturbations of test texts to score; []: none"
    )
    robustness_rows: int = Field(64, ge=1, description="Maximum number of test rows to perturb, drawn at random")
    typos: float = Field(0.3, gt=0, le=1, description="Share of words of four or more letters that get a typo")
    epsilon: float = Field(
        0.01, gt=0, le=1, description="Size of the adversarial step, relative to the norm of a token's embedding"
    )
    latency_calls: int = Field(30, ge=1, description="Timed predictions of one row, for each model")
    throughput_rows: int = Field(
        64, ge=1, description="Maximum number of test rows in the batch that throughput and memory are measured on"
    )
    out_of_scope: OutOfScope = Field(
        default_factory=lambda: OutOfScope(),
        description="Rows for the out-of-scope AUROC; without them it is not measured",
    )
    general_rows: str | None = Field(
        None,
        description="Text file in the project with one general text per line, on which a language model's negative "
        "log-likelihood is measured; null: 40 texts that ship with the package",
    )
    smoke_rows: int = Field(
        8,
        ge=0,
        description="Test rows that the registered version, loaded in a fresh process, must answer exactly as during "
        "evaluation before it is promoted; 0: no smoke test",
    )
