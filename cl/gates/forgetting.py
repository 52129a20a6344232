"""No silent forgetting: the worst past experience counts."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cl.evidence import TIE, bootstrap_means, is_loss, rows_to_decide
from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Forgetting(Gate):
    """No past experience may fall by more than a maximum below the best score that any version ever had on it.

    Forgetting is the best score so far minus the score now (Chaudhry et al., 2018); the worst experience counts, so
    that a good mean hides nothing. Test rows are few: an experience refuses when it lost more than the maximum and
    the rows, paired with the best version's, show with ``confidence`` that there is a loss at all (bootstrap; the
    level is shared out over the past experiences). Because the best version ever stands beside the challenger, small
    losses cannot add up from version to version unseen.
    """

    max: float = Field(ge=0, le=1, description="The most that one experience may lose, 0 to 1")
    confidence: float = Field(
        0.95, ge=0, lt=1, description="With which a loss must be shown; 0: what is measured counts, chance or not"
    )
    resamples: int = Field(2_000, ge=100, description="Bootstrap samples")

    @property
    def compares(self) -> bool:
        """A loss must be shown by single rows."""
        return self.confidence > 0

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int, among: int = 1) -> Verdict:
        """Return the verdict, with the experience that lost most, of those whose loss is shown if there are any."""
        losses = {one: inf if isnan(lost) else lost for one, lost in evaluation.forgetting.items()}
        if not losses:
            return Verdict(gate=self.name, passed=True, bound=self.max, why="there is nothing to forget yet")
        beyond = [one for one, lost in losses.items() if lost > self.max + TIE]
        shown = [one for one in beyond if self._is_shown(one, predictions, among=len(losses) * among, seed=seed)]
        worst = max(shown or losses, key=lambda one: losses[one])
        told = f"{_told(worst, evaluation.forgetting[worst])}, at most {100 * self.max:.1f} may be lost"
        undecided, needed = bool(beyond) and not shown, None
        if undecided:
            rows = _differences(worst, predictions)
            needed = rows_to_decide(rows, (1 - self.confidence) / (len(losses) * among))
            told += f"; its {len(rows)} rows are too few to call it a loss"
        return Verdict(
            gate=self.name,
            passed=not shown,
            undecided=undecided,
            rows_needed=needed,
            measured=evaluation.forgetting[worst],
            bound=self.max,
            why=told,
        )

    def _is_shown(self, experience: str, predictions: pd.DataFrame, *, among: int, seed: int) -> bool:
        """Tell whether single rows show the loss; without the best version's rows, what was measured counts."""
        if not self.confidence or "best_score" not in predictions:
            return True
        rows = _differences(experience, predictions)
        if not len(rows):
            return True
        means = bootstrap_means(rows, resamples=self.resamples, seed=seed)
        return is_loss(means, len(rows), (1 - self.confidence) / among)


def _differences(experience: str, predictions: pd.DataFrame) -> np.ndarray:
    """Return each test row's score less the best version's, for those of an experience that both have answered."""
    rows = predictions[predictions["experience"] == experience].dropna(subset=["best_score"])
    return (rows["challenger_score"].fillna(0.0) - rows["best_score"]).to_numpy(dtype=float)


def _told(worst: str, lost: float) -> str:
    if lost > 0 or isnan(lost):
        return f"{worst} lost most, {100 * lost:.1f} points of its best score"
    return f"no experience lost any points; {worst} gained least, {abs(100 * lost):.1f}"
