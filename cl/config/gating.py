"""How the verdicts of the gates are enforced."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class GatePolicy(Section):
    """How the verdicts of the gates are enforced."""

    mode: Literal["enforce", "dry_run", "off"] = Field(
        "enforce",
        description="dry_run: gates are evaluated and reported but refuse nothing; off: gates are not evaluated",
    )
    undecided: Literal["pass", "block"] = Field(
        "pass", description="Whether a gate with too few rows to decide passes or blocks"
    )
    correction: Literal["holm", "none"] = Field(
        "holm",
        description="holm: the confidence holds for all comparisons of all gates together; none: for each gate alone",
    )
    functions: Literal["refuse", "allow"] = Field(
        "refuse", description="Whether gates may call your own Python functions to select rows"
    )
