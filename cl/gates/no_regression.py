"""The challenger must not be worse than the champion on the test rows that both have answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from cl.evidence import TIE, bootstrap_means, is_loss, rows_to_decide
from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd


class NoRegression(Gate):
    """Paired bootstrap of challenger minus champion over test rows (Efron, 1979; Koehn, 2004).

    ``burden`` says who must prove what:

    - `regression`: refused when the mean loses more than the margin and the bootstrap says with ``confidence``
      that there is a loss at all. A few unlucky rows of a small test set refuse nothing.
    - `non_inferiority`: accepted only when the bootstrap's lower bound is within the margin. Safer, but it needs
      rows: with a margin of 0.02, 150 if no answer changes for the worse, and 2,000 if 5% change each way.

    Over `each`, every experience is judged by itself; a loss must then be shown at a level corrected for their
    number (Bonferroni). Rows with labels that the champion never knew count as wrong for it.
    """

    margin: float = Field(0.02, ge=0, lt=1, description="Loss in the mean row score that is accepted, 0 to 1")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the bootstrap's one-sided bound")
    resamples: int = Field(2_000, ge=100, description="Bootstrap samples")
    over: Literal["all", "each"] = Field("all", description="all: test rows together; each: every experience")
    burden: Literal["regression", "non_inferiority"] = Field("regression", description="What has to be shown")

    @property
    def compares(self) -> bool:
        """A loss must be shown by single rows."""
        return True

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int, among: int = 1) -> Verdict:
        """Return the verdict over all rows that both models answered, or on the worst experience."""
        if "champion_score" not in predictions or predictions["champion_score"].isna().all():
            why = "first version: there is no champion to compare with"
            return Verdict(gate=self.name, passed=True, bound=-self.margin, why=why)
        rows = predictions.dropna(subset=["champion_score"])
        loss = rows["challenger_score"].fillna(0.0).astype(float) - rows["champion_score"].astype(float)
        groups = {"": loss} if self.over == "all" else dict(iter(loss.groupby(rows["experience"], sort=False)))
        found = [
            self._compare(name, one.to_numpy(), groups=len(groups) * among, seed=seed) for name, one in groups.items()
        ]
        worst = min(found, key=lambda one: (one.passed, one.measured))
        return Verdict(
            gate=self.name,
            passed=worst.passed,
            undecided=worst.undecided,
            rows_needed=worst.rows_needed,
            measured=worst.measured,
            bound=-self.margin,
            why=worst.why,
        )

    def _compare(self, name: str, difference: np.ndarray, *, groups: int, seed: int) -> _Comparison:
        if self.burden == "regression":
            return self._refuse_a_loss(name, difference, level=(1 - self.confidence) / groups, seed=seed)
        return self._ask_for_proof(name, difference, seed=seed)

    def _refuse_a_loss(self, name: str, difference: np.ndarray, *, level: float, seed: int) -> _Comparison:
        means = bootstrap_means(difference, resamples=self.resamples, seed=seed)
        mean, sure = float(difference.mean()), float((means < 0).mean())
        told = self._told(name, mean, rows=len(difference), means=means)
        if mean >= -self.margin - TIE:
            return _Comparison(True, mean, told)
        if is_loss(means, len(difference), level):
            return _Comparison(False, mean, f"{told}; that is a loss with {_percent(sure)} confidence")
        told = f"{told}; too few rows to call it a loss ({_percent(sure)} confidence)"
        return _Comparison(True, mean, told, undecided=True, rows_needed=rows_to_decide(difference, level))

    def _ask_for_proof(self, name: str, difference: np.ndarray, *, seed: int) -> _Comparison:
        # One lost row is added: where no row was lost, this gives the rule of three (95% bound: 3 in n).
        means = bootstrap_means(np.append(difference, -1.0), resamples=self.resamples, seed=seed)
        low = float(np.quantile(means, 1 - self.confidence))
        told = self._told(name, float(difference.mean()), rows=len(difference), means=means)
        shown = f"{told}; shown with {_percent(self.confidence)} confidence: no worse than {100 * low:+.1f}"
        if low >= -self.margin - TIE:
            return _Comparison(True, low, shown)
        slack = difference.mean() + self.margin  # what is measured may be within the margin: more rows would show it
        needed = rows_to_decide(-difference - self.margin, 1 - self.confidence) if slack > 0 else None
        return _Comparison(False, low, shown, rows_needed=needed)

    def _told(self, name: str, mean: float, *, rows: int, means: np.ndarray) -> str:
        low, high = np.quantile(means, [0.025, 0.975])
        return (
            f"{f'on {name} the' if name else 'the'} challenger is {100 * mean:+.1f} points from the champion "
            f"over {rows} rows (95% interval {100 * low:+.1f} to {100 * high:+.1f}), "
            f"a loss of up to {100 * self.margin:.1f} is accepted"
        )


@dataclass(frozen=True)
class _Comparison:
    passed: bool
    measured: float
    why: str
    undecided: bool = False
    rows_needed: int | None = None


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
