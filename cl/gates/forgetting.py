"""No silent forgetting: the worst past experience counts."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING

from pydantic import Field

from cl.evidence import TIE
from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Forgetting(Gate):
    """No past experience may fall by more than a maximum below the best score it ever had.

    Forgetting is the best score so far minus the score now (Chaudhry et al., 2018); the worst experience
    counts, so that a good mean hides nothing.
    """

    max: float = Field(ge=0, le=1, description="The most that one experience may lose, 0 to 1")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the experience that lost most."""
        losses = evaluation.forgetting
        if not losses:
            return Verdict(gate=self.name, passed=True, bound=self.max, why="there is nothing to forget yet")
        worst = max(losses, key=lambda one: inf if isnan(losses[one]) else losses[one])
        lost = losses[worst]
        return Verdict(
            gate=self.name,
            passed=lost <= self.max + TIE,
            measured=lost,
            bound=self.max,
            why=f"{_told(worst, lost)}, at most {100 * self.max:.1f} may be lost",
        )


def _told(worst: str, lost: float) -> str:
    if lost > 0 or isnan(lost):
        return f"{worst} lost most, {100 * lost:.1f} points of its best score"
    return f"no experience lost any points; {worst} gained least, {abs(100 * lost):.1f}"
