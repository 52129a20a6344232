"""No silent forgetting: the worst past experience counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Forgetting(Gate):
    """No past experience may fall by more than a maximum below the best score it ever had."""

    max: float = Field(ge=0, le=1, description="The most that one experience may lose, 0 to 1")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the experience that lost most."""
        if not evaluation.forgetting:
            return Verdict(gate=self.name, passed=True, bound=self.max, why="there is nothing to forget yet")
        worst = max(evaluation.forgetting, key=lambda one: evaluation.forgetting[one])
        lost = evaluation.forgetting[worst]
        return Verdict(
            gate=self.name,
            passed=lost <= self.max,
            measured=lost,
            bound=self.max,
            why=f"{worst} lost {100 * lost:.1f} points of its best score, at most {100 * self.max:.1f} are accepted",
        )
