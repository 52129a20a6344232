"""An upper bound on forgetting: the worst past experience decides."""

from __future__ import annotations

from math import inf, isnan
from typing import TYPE_CHECKING

from pydantic import Field

from cl.gating.gates import Gate
from cl.gating.verdicts import conclude, rescale_rows_needed, significant_after_holm
from cl.heavy import np
from cl.records import Evaluation, Part, Verdict
from cl.statistics import TIE, loss_p, rows_to_decide

if TYPE_CHECKING:
    import pandas as pd


class Forgetting(Gate):
    """No past experience may fall more than a maximum below the best score that any version had on it.

    Forgetting is the best score so far minus the score now (Chaudhry et al., 2018); the worst experience decides, so
    that a good mean hides nothing. Test rows are few: the gate fails on an experience that lost more than the maximum
    only if the rows, paired with the best version's, show with ``confidence`` that there is a loss at all (bootstrap,
    corrected over all past experiences with Holm's method). The baseline is the best version so far, not the champion,
    so that small losses cannot accumulate unseen from version to version.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Forgetting(max=0.05).judge(evaluation, rows, seed=0).passed
    False
    """

    max: float = Field(ge=0, lt=1, description="The accepted loss on any experience, 0 to 1")
    confidence: float = Field(
        0.95,
        ge=0,
        lt=1,
        description="Confidence with which a loss must be shown; 0: the measured loss decides, without a test",
    )
    resamples: int = Field(2_000, ge=100, description="Number of bootstrap samples")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict on the experience that lost most, preferring those whose loss is significant."""
        losses = {name: inf if isnan(lost) else lost for name, lost in evaluation.forgetting.items()}
        if not losses:
            undecided = evaluation.forgetting_max is None
            why = "no past experience decides a score" if undecided else "there is nothing to forget yet"
            return Verdict(gate=self.name, passed=True, undecided=undecided, bound=self.max, why=why)
        worst_first = sorted(losses, key=lambda name: -losses[name])
        known = _differences(predictions)
        rows = {name: known.get(name, np.empty(0)) for name in worst_first}
        p_values = {name: self._p_value(rows[name], seed) for name in worst_first}
        tested = [name for name in worst_first if p_values[name] is not None]
        results = significant_after_holm([(p_values[name] or 0.0, self._alpha) for name in tested])
        significant = dict(zip(tested, results, strict=True))
        parts = [
            self._part(
                name,
                evaluation.forgetting[name],
                rows[name],
                p_values[name],
                significant.get(name, True),
                among=len(losses),
            )
            for name in worst_first
        ]
        return conclude(self.name, parts, on="each_experience")

    @property
    def _alpha(self) -> float:
        return round(1 - self.confidence, 12)

    def _p_value(self, rows: np.ndarray, seed: int) -> float | None:
        """Return the p-value of a loss; None without rows of the best version, or if no test is configured."""
        return loss_p(rows, resamples=self.resamples, seed=seed) if self.confidence and len(rows) else None

    def _part(
        self, name: str, lost: float, rows: np.ndarray, p_value: float | None, is_significant: bool, *, among: int
    ) -> Part:
        exceeded = not lost <= self.max + TIE
        why = f"{_describe_loss(name, lost)}, at most {100 * self.max:.1f} may be lost"
        if exceeded and not is_significant:
            why += f"; its {len(rows)} test rows are too few to call it a loss"
        more = rows_to_decide(rows, self._alpha) if exceeded and not is_significant else None
        return Part(
            group=name,
            verdict="pass" if not exceeded else "fail" if is_significant else "undecided",
            measured=lost,
            bound=self.max,
            p_value=p_value,
            alpha=None if p_value is None else self._alpha,
            rows=len(rows) or None,
            rows_needed=rescale_rows_needed(more, alpha=self._alpha, among=among),
            why=why,
        )


def _differences(predictions: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return, by experience, the challenger's score minus the best version's on each test row that both answered."""
    if "best_score" not in predictions:
        return {}
    rows = predictions.dropna(subset=["best_score"])
    differences = (rows["challenger_score"].fillna(0.0) - rows["best_score"]).to_numpy(dtype=float)
    return {str(name): differences[places] for name, places in rows.groupby("experience").indices.items()}


def _describe_loss(worst: str, lost: float) -> str:
    if lost > 0 or isnan(lost):
        return f"{worst} lost most, {100 * lost:.1f} points of its best score"
    return "no experience lost anything"
