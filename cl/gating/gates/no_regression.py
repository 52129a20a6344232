"""The challenger must not be worse than the champion on the test rows that both answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl.gating.gates import Gate
from cl.gating.verdicts import conclude, rescale_rows_needed, significant_after_holm
from cl.heavy import np
from cl.records import Evaluation, Part, Verdict
from cl.statistics import TIE, bootstrap_means, loss_p, rows_to_decide

if TYPE_CHECKING:
    import pandas as pd


class NoRegression(Gate):
    """Paired bootstrap of challenger minus champion over test rows (Efron, 1979; Koehn, 2004).

    ``burden`` says who must prove what:

    - `regression`: fails if the mean loses more than the margin and the bootstrap shows with ``confidence`` that
      there is a loss at all. A few unlucky rows of a small test set fail nothing.
    - `non_inferiority`: passes only if the bootstrap's lower bound is within the margin. Safer, but it needs rows:
      with a margin of 0.02, 150 if no answer changes for the worse, and 2,000 if 5% change each way.

    Over `each`, every experience is judged separately, and losses are corrected for the number of experiences (Holm).
    Rows with labels that the champion never learned count as wrong for it.

    >>> from cl.testing import sample_evaluation
    >>> evaluation, rows = sample_evaluation([1, 1, 1, 0] * 20, [1, 1, 1, 1] * 20)
    >>> NoRegression(margin=0.02).judge(evaluation, rows, seed=0).passed
    False
    """

    other: ClassVar[str] = "champion"
    """What the challenger is compared with: the stored rows have its scores."""

    absent: ClassVar[str] = "first version: there is no champion to compare with"

    margin: float = Field(0.02, ge=0, lt=1, description="Accepted loss in the mean row score, 0 to 1")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of the bootstrap's one-sided bound")
    resamples: int = Field(2_000, ge=100, description="Number of bootstrap samples")
    over: Literal["all", "each"] = Field(
        "all", description="all: all test rows together; each: every experience separately"
    )
    burden: Literal["regression", "non_inferiority"] = Field(
        "regression", description="What must be shown: a regression to fail, or non-inferiority to pass"
    )

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict over all rows that both models answered, or on the worst experience."""
        column = f"{self.other}_score"
        if column not in predictions or predictions[column].isna().all():
            return Verdict(gate=self.name, passed=True, bound=-self.margin, why=self.absent)
        rows = predictions.dropna(subset=[column])
        loss = rows["challenger_score"].fillna(0.0).astype(float) - rows[column].astype(float)
        groups = {"all": loss} if self.over == "all" else dict(iter(loss.groupby(rows["experience"], sort=False)))
        if self.burden == "regression":
            parts = self._test_regression(groups, seed)
        else:
            parts = self._test_non_inferiority(groups, seed)
        parts.sort(key=lambda part: (part.verdict, part.measured))
        return conclude(self.name, parts, on="all" if self.over == "all" else "each_experience")

    def _test_regression(self, groups: dict[str, pd.Series], seed: int) -> list[Part]:
        alpha = round(1 - self.confidence, 12)
        differences = {name: group.to_numpy() for name, group in groups.items()}
        p_values = {
            name: loss_p(difference, resamples=self.resamples, seed=seed) for name, difference in differences.items()
        }
        results = significant_after_holm([(p_value, alpha) for p_value in p_values.values()])
        losses = dict(zip(differences, results, strict=True))
        return [
            self._judge_regression(
                name, difference, p_values[name], losses[name], alpha=alpha, among=len(differences), seed=seed
            )
            for name, difference in differences.items()
        ]

    def _judge_regression(
        self, name: str, difference: np.ndarray, p_value: float, lost: bool, *, alpha: float, among: int, seed: int
    ) -> Part:
        mean = float(difference.mean())
        exceeded = mean < -self.margin - TIE
        why = self._describe(name, difference, bootstrap_means(difference, resamples=self.resamples, seed=seed))
        if exceeded:
            confidence = f"{_percent(1 - p_value)} confidence"
            why += f"; that is a loss with {confidence}" if lost else f"; too few rows to call it a loss ({confidence})"
        rows = (
            rescale_rows_needed(rows_to_decide(difference, alpha), alpha=alpha, among=among)
            if exceeded and not lost
            else None
        )
        return Part(
            group=name,
            verdict="pass" if not exceeded else "fail" if lost else "undecided",
            measured=mean,
            bound=-self.margin,
            p_value=p_value,
            alpha=alpha,
            rows=len(difference),
            rows_needed=rows,
            why=why,
        )

    def _test_non_inferiority(self, groups: dict[str, pd.Series], seed: int) -> list[Part]:
        """Every group must pass, so no correction is needed (intersection-union test: Berger, 1982)."""
        return [self._judge_non_inferiority(name, group.to_numpy(), seed=seed) for name, group in groups.items()]

    def _judge_non_inferiority(self, name: str, difference: np.ndarray, *, seed: int) -> Part:
        # Add one lost row: if no row was lost, this gives the rule of three (95% bound: 3 in n).
        means = bootstrap_means(np.append(difference, -1.0), resamples=self.resamples, seed=seed)
        low = float(np.quantile(means, 1 - self.confidence))
        why = self._describe(name, difference, means)
        within = low >= -self.margin - TIE
        slack = difference.mean() + self.margin  # if the measured loss is within the margin, more rows would show it
        needed = rows_to_decide(-difference - self.margin, 1 - self.confidence) if slack > 0 and not within else None
        return Part(
            group=name,
            verdict="pass" if within else "fail",
            measured=low,
            bound=-self.margin,
            rows=len(difference),
            rows_needed=needed,
            why=f"{why}; shown with {_percent(self.confidence)} confidence: no worse than {100 * low:+.1f}",
        )

    def _describe(self, name: str, difference: np.ndarray, means: np.ndarray) -> str:
        low, high = np.quantile(means, [0.025, 0.975])
        return (
            f"{'the' if self.over == 'all' else f'on {name} the'} challenger is {_signed(difference.mean())} "
            f"the {self.other} over {len(difference)} rows (95% interval {100 * low:+.1f} to {100 * high:+.1f}), "
            f"a loss of up to {100 * self.margin:.1f} is accepted"
        )


def _signed(difference: float) -> str:
    return f"{abs(100 * difference):.1f} points {'below' if difference < 0 else 'above'}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
