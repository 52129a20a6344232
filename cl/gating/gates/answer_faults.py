"""Written answers must not be cut, repeated, blank, in another script or invalid more often than the champion's."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.gating.gates import Gate
from cl.gating.verdicts import conclude, rescale_rows_needed, significant_after_holm
from cl.heavy import np
from cl.plugins import Capability
from cl.records import Evaluation, Part, Verdict
from cl.records.evaluation import FAULTS
from cl.statistics import TIE, bootstrap_means, loss_p, rows_to_decide

if TYPE_CHECKING:
    import pandas as pd


class AnswerFaults(Gate):
    """Paired bootstrap of the share of answers with each fault over test rows (Efron, 1979).

    It fails if a share grows by more than the margin and the bootstrap shows with ``confidence``, corrected for the
    number of faults (Holm), that it grows at all. Scores show such faults late: an answer that goes on after it is
    complete still has the right words.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1.0] * 80, [1.0] * 80)
    >>> rows = rows.assign(challenger_cut=[1.0, 0.0] * 40, champion_cut=0.0)
    >>> AnswerFaults().judge(evaluation, rows, seed=0).passed
    False
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})

    margin: float = Field(0.05, ge=0, lt=1, description="Accepted growth of the share of answers with a fault, 0 to 1")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence with which the rows must show a growth")
    resamples: int = Field(2_000, ge=100, description="Number of bootstrap samples")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict on the fault whose share grew most, over the rows that both models answered."""
        gains = {fault: _gains(predictions, fault) for fault in FAULTS}
        known = {fault: own for fault, own in gains.items() if len(own)}
        if not known:
            why = "there are no answers of a champion to compare with: 0 rows"
            return Verdict(gate=self.name, passed=True, bound=self.margin, why=why)
        alpha = round(1 - self.confidence, 12)
        p_values = {fault: loss_p(own, resamples=self.resamples, seed=seed) for fault, own in known.items()}
        grew = significant_after_holm([(p_value, alpha) for p_value in p_values.values()])
        parts = [
            self._part(fault, predictions, own, p_values[fault], significant, alpha=alpha, among=len(known), seed=seed)
            for (fault, own), significant in zip(known.items(), grew, strict=True)
        ]
        return conclude(self.name, sorted(parts, key=lambda part: -(part.measured or 0.0)), on="each_fault")

    def _part(
        self,
        fault: str,
        predictions: pd.DataFrame,
        gains: np.ndarray,
        p_value: float,
        significant: bool,
        *,
        alpha: float,
        among: int,
        seed: int,
    ) -> Part:
        grown = 0.0 - float(gains.mean())
        exceeded = grown > self.margin + TIE
        low, high = 0.0 - np.quantile(bootstrap_means(gains, resamples=self.resamples, seed=seed), [0.975, 0.025])
        now, before = (float(predictions[f"{who}_{fault}"].mean()) for who in ("challenger", "champion"))
        why = (
            f"{now:.1%} of the answers {FAULTS[fault]}, {before:.1%} of the champion's: {100 * grown:+.1f} points over "
            f"{len(gains)} rows (95% interval {100 * low:+.1f} to {100 * high:+.1f}), up to "
            f"{100 * self.margin:.1f} more are accepted"
        )
        if exceeded and not significant:
            why += "; too few rows to call it a growth"
        needed = rows_to_decide(gains, alpha) if exceeded and not significant else None
        return Part(
            group=fault,
            verdict="pass" if not exceeded else "fail" if significant else "undecided",
            measured=grown,
            bound=self.margin,
            p_value=p_value,
            alpha=alpha,
            rows=len(gains),
            rows_needed=rescale_rows_needed(needed, alpha=alpha, among=among),
            why=why,
        )


def _gains(predictions: pd.DataFrame, fault: str) -> np.ndarray:
    """Return on each row that both models answered -1 where the fault is new, and 1 where it has gone."""
    columns = [f"champion_{fault}", f"challenger_{fault}"]
    if not set(columns) <= set(predictions):
        return np.empty(0)
    both = predictions[columns].dropna().astype(float)
    gains: np.ndarray = (both[columns[0]] - both[columns[1]]).to_numpy()
    return gains
