"""How drift is looked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.settings.section import PluginSpec, Section


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
        description="Detectors that decide; each is a file in cl/detectors",
    )
    alpha: float = Field(
        0.05, gt=0, lt=0.5, description="Chance of any false alarm, over all detectors and all checks there will be"
    )
    max_rows: int = Field(
        10_000, ge=20, description="Rows of an experience that the champion looks at, drawn at random; labels: all"
    )
    reference_rows: int = Field(1_000, ge=20, description="Rows that a version keeps as its drift reference")
    report: Literal["evidently", "off"] = Field("evidently", description="Whether Evidently's report is made")
