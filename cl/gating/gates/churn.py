"""Negative flips, answers that were right and are now wrong: users notice them whatever the mean says."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pydantic import Field

from cl.gating.gates import Gate
from cl.gating.verdicts import conclude
from cl.records import Evaluation, Part, Verdict
from cl.statistics import TIE

if TYPE_CHECKING:
    import pandas as pd


class Churn(Gate):
    """At most a share of the champion's right answers may become wrong (Milani Fard et al., 2016).

    A row counts with its score: 1 or 0 for a label, a share for a row of tokens. The gate fails if the lost share
    exceeds the maximum with ``confidence`` (exact binomial bound; Clopper and Pearson, 1934); if the rows are too few
    to show that, the verdict is undecided.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> Churn(max=0.05).judge(evaluation, rows, seed=0).passed
    False
    """

    max: float = Field(ge=0, lt=1, description="The largest share of the champion's right answers that may be lost")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="Confidence with which an excess must be shown")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict over all rows that the champion answered correctly."""
        from scipy.stats import beta, norm

        if "champion_score" not in predictions or predictions["champion_score"].isna().all():
            why = "there is no champion whose right answers could be lost: 0 rows"
            return Verdict(gate=self.name, passed=True, bound=self.max, why=why)
        scores = predictions[["champion_score", "challenger_score"]].fillna(0.0).astype(float)
        right = scores[scores["champion_score"] > 0]
        lost = float((right["champion_score"] - right["challenger_score"]).clip(lower=0).sum())
        total = float(right["champion_score"].sum())
        share = lost / total if total else 0.0
        lower_bound = float(beta.ppf(1 - self.confidence, lost, total - lost + 1)) if lost else 0.0
        exceeded, significant = share > self.max + TIE, lower_bound > self.max + TIE
        why = f"{lost:.0f} of the champion's {total:.0f} right answers are wrong now, {share:.1%}; "
        why += f"at most {self.max:.1%} may be"
        if exceeded and not significant:
            why += f"; too few rows to say so ({self.confidence:.0%} confidence: at least {lower_bound:.1%})"
        z = float(norm.isf(1 - self.confidence))
        needed = ceil((z / (share - self.max)) ** 2 * share * (1 - share)) if exceeded and not significant else None
        part = Part(
            verdict="fail" if significant else "undecided" if exceeded else "pass",
            measured=share,
            bound=self.max,
            p_value=float(beta.cdf(self.max, lost, total - lost + 1)) if lost else 1.0,
            alpha=round(1 - self.confidence, 12),
            rows=len(right),
            rows_needed=needed,
            why=why,
        )
        return conclude(self.name, [part])
