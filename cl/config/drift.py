"""How drift is looked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import PluginSpec, Section


class TrafficSettings(Section):
    """How answers whose labels have not come are compared with what the champion was promoted on.

    Each look is a check like that of an experience, and spends its share of ``drift.alpha``.
    """

    detectors: list[PluginSpec] = Field(
        ["estimated_performance", "prediction_mix", "confidence", "embedding_mmd", "novelty", "descriptors"],
        description="Detectors that need no labels; []: unlabelled answers are not looked at",
    )
    every_hours: float = Field(24.0, gt=0, description="Time between two looks; more looks, and each may find less")
    min_rows: int = Field(200, ge=20, description="Unlabelled answers that a look needs; fewer wait for more")
    answer: Literal["labels", "learn"] = Field(
        "labels",
        description="What an alarm asks for. labels: people are told, and which rows to label; learn: the learning "
        "flow is started as well, and learns the labelled rows that wait",
    )


class DriftSettings(Section):
    """How a new experience is compared with what the champion was promoted on."""

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
        ],
        description="Detectors that decide; each is a file in cl/drift/detectors",
    )
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Chance of any false alarm, over all detectors and all checks there will be"
    )
    max_rows: int = Field(
        10_000, ge=20, description="Rows of an experience that the champion looks at, drawn at random; labels: all"
    )
    reference_rows: int = Field(1_000, ge=20, description="Rows that a version keeps as its drift reference")
    report: Literal["evidently", "off"] = Field("evidently", description="Whether Evidently's report is made")
    traffic: TrafficSettings = Field(
        default_factory=lambda: TrafficSettings(), description="Answers whose labels have not come"
    )
