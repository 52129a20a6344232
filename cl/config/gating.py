"""What the verdicts of the gates are worth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.config.section import Section


class GatePolicy(Section):
    """What the verdicts of the gates are worth."""

    mode: Literal["enforce", "dry_run", "off"] = Field(
        "enforce", description="dry_run: gates are judged and told, and refuse nothing; off: they are not judged"
    )
    undecided: Literal["pass", "block"] = Field(
        "pass", description="A gate whose rows are too few to decide passes, or blocks"
    )
    correction: Literal["holm", "none"] = Field(
        "holm",
        description="The confidence holds for all comparisons of all gates together (Holm); none: for each gate",
    )
    functions: Literal["refuse", "allow"] = Field(
        "refuse", description="Whether rules may call Python functions of yours to choose rows"
    )
