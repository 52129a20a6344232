"""The challenger must not be worse than the champion on the rows that both have answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from cl.gates import Gate
from cl.records import Evaluation, Verdict

if TYPE_CHECKING:
    import pandas as pd

CHUNK_DRAWS = 5_000_000


class NoRegression(Gate):
    """Paired bootstrap of challenger minus champion over test rows (Efron, 1979; Koehn, 2004).

    ``burden`` says who must prove what. `regression`: refused when the challenger is worse by more than the margin
    and the bootstrap is confident that it is worse at all. `non_inferiority`: accepted only when the
    bootstrap is confident that it is not worse by more than the margin; with few rows that is hard to show.
    """

    margin: float = Field(0.02, ge=0, lt=1, description="Loss in the mean row score that is accepted, 0 to 1")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Of the bootstrap's one-sided bound")
    resamples: int = Field(2_000, ge=100, description="Bootstrap samples")
    burden: Literal["regression", "non_inferiority"] = Field("regression", description="What has to be shown")

    def judge(self, evaluation: Evaluation, predictions: pd.DataFrame, *, seed: int) -> Verdict:
        """Return the verdict over all test rows."""
        if "champion_score" not in predictions or predictions["champion_score"].isna().all():
            return Verdict(
                gate=self.name,
                passed=True,
                bound=-self.margin,
                why="first version: no champion to compare with",
            )
        rows = predictions.dropna(subset=["champion_score"])
        difference = (rows["challenger_score"] - rows["champion_score"]).to_numpy(dtype=float)
        means = bootstrap_means(difference, self.resamples, seed)
        measured = float(difference.mean())
        if self.burden == "regression":
            passed = not (measured < -self.margin and float((means < 0).mean()) >= self.confidence)
        else:
            passed = float(np.quantile(means, 1 - self.confidence)) >= -self.margin
        low, high = np.quantile(means, [0.025, 0.975])
        return Verdict(
            gate=self.name,
            passed=passed,
            measured=measured,
            bound=-self.margin,
            why=f"challenger minus champion is {100 * measured:+.1f} points on {len(difference)} rows "
            f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f}), "
            f"at most {100 * self.margin:.1f} points may be lost",
        )


def bootstrap_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Return the means of bootstrap samples, drawn in chunks so that memory stays bounded."""
    rng = np.random.default_rng(seed)
    chunk = max(1, CHUNK_DRAWS // max(1, len(values)))
    parts = [
        values[rng.integers(len(values), size=(min(chunk, resamples - start), len(values)))].mean(axis=1)
        for start in range(0, resamples, chunk)
    ]
    return np.concatenate(parts)
