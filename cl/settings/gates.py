"""What the verdicts of the gates are worth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.settings.section import Section


class GatePolicy(Section):
    """What the verdicts of the gates are worth."""

    mode: Literal["enforce", "dry_run", "off"] = Field(
        "enforce", description="dry_run: gates are judged and told, and refuse nothing; off: they are not judged"
    )
    undecided: Literal["pass", "block"] = Field(
        "pass", description="A gate whose rows are too few to decide passes, or blocks"
    )
    correction: Literal["gates", "none"] = Field(
        "gates",
        description="gates: those that test on single rows share one level, so that together they refuse an equal "
        "challenger no more often than one would; none: each has its own",
    )
