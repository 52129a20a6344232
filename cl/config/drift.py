"""How drift is detected."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import PluginSpec, Section


class TrafficSettings(Section):
    """How served answers without labels are compared with the champion's reference.

    Each drift check of the traffic spends its share of ``drift.alpha``, like the check of an experience.
    """

    detectors: list[PluginSpec] = Field(
        [
            "estimated_performance",
            "prediction_mix",
            "confidence",
            "embedding_mmd",
            "novelty",
            "descriptors",
            "answer_length",
            "refusals",
        ],
        description="Detectors that need no labels; []: served traffic is not checked",
    )
    every_hours: float = Field(
        24.0, gt=0, description="Hours between two drift checks; frequent checks are less sensitive"
    )
    min_rows: int = Field(200, ge=20, description="Unlabelled answers that a drift check needs; fewer wait for more")
    answer: Literal["labels", "learn"] = Field(
        "labels",
        description="What an alarm does. labels: send a notification that says which rows to label; learn: also start "
        "the learning flow on the labelled rows that wait",
    )


class DriftSettings(Section):
    """How a new experience is compared with the champion's reference."""

    detectors: list[PluginSpec] = Field(
        [
            "new_labels",
            "performance",
            "label_mix",
            "prediction_mix",
            "confidence",
            "embedding_mmd",
            "novelty",
            "descriptors",
            "answer_length",
            "refusals",
            "answer_nll",
        ],
        description="Drift detectors; files in cl/drift/detectors",
    )
    encoder: str | None = Field(
        None,
        description="Encoder of the texts that embedding_mmd, novelty and classifier_test compare: minilm, a hub name "
        "or a folder; null: the model's own embeddings, which a model that writes does not have",
    )
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Probability of any false alarm, over all detectors and all checks ever made"
    )
    max_rows: int = Field(
        10_000,
        ge=20,
        description="Rows of an experience that the champion answers, drawn at random; label checks use all rows",
    )
    reference_rows: int = Field(1_000, ge=20, description="Rows that a version keeps as its drift reference")
    report: Literal["on_drift", "always", "off"] = Field(
        "on_drift",
        description="When to write Evidently's report (extra `report`), which takes seconds; on_drift: where a "
        "detector raises an alarm",
    )
    traffic: TrafficSettings = Field(
        default_factory=lambda: TrafficSettings(), description="Drift checks of served answers without labels"
    )
