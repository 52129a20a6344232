"""No silent forgetting: the worst past experience counts."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cl.gating.gates import Gate
from cl.gating.verdicts import conclude, format_value, rows_needed
from cl.records import Evaluation, Part, Verdict
from cl.statistics import TIE, loss_p, rows_to_decide

if TYPE_CHECKING:
    import pandas as pd


class Forgetting(Gate):
    """No past experience may fall by more than a maximum below the best score that any version ever had on it.

    Forgetting is the best score so far minus the score now (Chaudhry et al., 2018); the worst experience counts, so
    that a good mean hides nothing. Test rows are few: an experience refuses when it lost more than the maximum and
    the rows, paired with the best version's, show with ``confidence`` that there is a loss at all (bootstrap; for
    all past experiences together, Holm). Because the best version ever stands beside the challenger, small
    losses cannot add up from version to version unseen.
    """

    max: float = Field(ge=0, le=1, description="The most that one experience may lose, 0 to 1")
    confidence: float = Field(
        0.95, ge=0, lt=1, description="With which a loss must be shown; 0: what is measured counts, chance or not"
    )
    resamples: int = Field(2_000, ge=100, description="Bootstrap samples")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict, with the experience that lost most, of those whose loss is shown if there are any."""
        losses = {one: inf if isnan(lost) else lost for one, lost in evaluation.forgetting.items()}
        if not losses:
            return Verdict(gate=self.name, passed=True, bound=self.max, why="there is nothing to forget yet")
        worst_first = sorted(losses, key=lambda one: -losses[one])
        rows = {one: _differences(one, predictions) for one in worst_first}
        p_values = {one: self._p_value(rows[one], seed) for one in worst_first}
        tested = [one for one in worst_first if p_values[one] is not None]
        held = dict(zip(tested, format_value([(p_values[one] or 0.0, self._alpha) for one in tested]), strict=True))
        parts = [
            self._part(
                one, evaluation.forgetting[one], rows[one], p_values[one], held.get(one, True), among=len(losses)
            )
            for one in worst_first
        ]
        return conclude(self.name, parts, on="each_experience")

    @property
    def _alpha(self) -> float:
        return round(1 - self.confidence, 12)

    def _p_value(self, rows: np.ndarray, seed: int) -> float | None:
        """Return that of a loss; None where no rows of the best version are there, or what was measured counts."""
        return loss_p(rows, resamples=self.resamples, seed=seed) if self.confidence and len(rows) else None

    def _part(
        self, name: str, lost: float, rows: np.ndarray, p_value: float | None, is_shown: bool, *, among: int
    ) -> Part:
        beyond = not lost <= self.max + TIE
        told = f"{_told(name, lost)}, at most {100 * self.max:.1f} may be lost"
        if beyond and not is_shown:
            told += f"; its {len(rows)} rows are too few to call it a loss"
        more = rows_to_decide(rows, self._alpha) if beyond and not is_shown else None
        return Part(
            group=name,
            verdict="pass" if not beyond else "fail" if is_shown else "undecided",
            measured=lost,
            bound=self.max,
            p_value=p_value,
            alpha=None if p_value is None else self._alpha,
            rows=len(rows) or None,
            rows_needed=rows_needed(more, alpha=self._alpha, among=among),
            why=told,
        )


def _differences(experience: str, predictions: pd.DataFrame) -> np.ndarray:
    """Return each test row's score less the best version's, for those of an experience that both have answered."""
    if "best_score" not in predictions:
        return np.empty(0)
    rows = predictions[predictions["experience"] == experience].dropna(subset=["best_score"])
    return (rows["challenger_score"].fillna(0.0) - rows["best_score"]).to_numpy(dtype=float)


def _told(worst: str, lost: float) -> str:
    if lost > 0 or isnan(lost):
        return f"{worst} lost most, {100 * lost:.1f} points of its best score"
    return f"no experience lost any points; {worst} gained least, {abs(100 * lost):.1f}"
