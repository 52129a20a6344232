"""Answers that were right and are wrong now: what users notice first, whatever the mean says."""

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
    """Of the test rows that the champion has right, at most a share may be wrong now (Milani Fard et al., 2016).

    A row's own score counts: 1 or 0 for a label, a share for a row of tokens. The share must be shown to be beyond
    the maximum with ``confidence`` (exact binomial bound; Clopper and Pearson, 1934), or the rows are too few.
    """

    max: float = Field(ge=0, le=1, description="The largest share of the champion's right answers that may be lost")
    confidence: float = Field(0.95, ge=0.5, lt=1, description="With which it must be shown")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict over all rows that the champion has right."""
        from scipy.stats import beta, norm

        if "champion_score" not in predictions or predictions["champion_score"].isna().all():
            why = "0 rows: there is no champion whose right answers could be lost"
            return Verdict(gate=self.name, passed=True, bound=self.max, why=why)
        scores = predictions[["champion_score", "challenger_score"]].fillna(0.0).astype(float)
        right = scores[scores["champion_score"] > 0]
        lost = float((right["champion_score"] - right["challenger_score"]).clip(lower=0).sum())
        held = float(right["champion_score"].sum())
        share = lost / held if held else 0.0
        least = float(beta.ppf(1 - self.confidence, lost, held - lost + 1)) if lost else 0.0
        beyond, shown = share > self.max + TIE, least > self.max + TIE
        told = f"{lost:.0f} of the champion's {held:.0f} right answers are wrong now, {share:.1%}; "
        told += f"at most {self.max:.1%} may be"
        if beyond and not shown:
            told += f"; too few rows to say so ({self.confidence:.0%} confidence: at least {least:.1%})"
        errors = float(norm.isf(1 - self.confidence))
        needed = ceil((errors / (share - self.max)) ** 2 * share * (1 - share)) if beyond and not shown else None
        part = Part(
            verdict="fail" if shown else "undecided" if beyond else "pass",
            measured=share,
            bound=self.max,
            p_value=float(beta.cdf(self.max, lost, held - lost + 1)) if lost else 1.0,
            alpha=round(1 - self.confidence, 12),
            rows=len(right),
            rows_needed=needed,
            why=told,
        )
        return conclude(self.name, [part])
