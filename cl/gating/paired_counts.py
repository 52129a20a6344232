"""Paired bootstrap of a score of all rows together, over the counts of each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cl.heavy import np
from cl.statistics import CELLS, TIE, Interval, simulated_p
from cl.tasks import SCORE_OF_SUMS

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PairedCounts:
    """The counts (rows, counts) of champion and challenger on the same rows, whose sums make the score ``metric``.

    A sample draws rows with replacement, the same for both, and computes the score of each from its sums: no text is
    read again (Koehn, 2004, sections 3 and 4).

    >>> right, wrong = [1.0, 1.0], [0.0, 1.0]
    >>> PairedCounts("exact_match", np.array([right, wrong]), np.array([right, right])).difference
    0.5
    """

    metric: str
    before: np.ndarray
    now: np.ndarray

    @classmethod
    def of_rows(cls, metric: str, rows: pd.DataFrame) -> PairedCounts | None:
        """Return the counts of the stored rows that both models answered; None: there are none."""
        columns = [f"champion_{metric}", f"challenger_{metric}"]
        if not set(columns) <= set(rows):
            return None
        both = rows[columns].dropna()
        return cls(metric, *(stack_counts(both[column]) for column in columns)) if len(both) else None

    @property
    def score_before(self) -> float:
        """The champion's score on all rows together."""
        return float(self._score(self.before.sum(0)))

    @property
    def score_now(self) -> float:
        """The challenger's score on all rows together."""
        return float(self._score(self.now.sum(0)))

    @property
    def difference(self) -> float:
        """The challenger's score on all rows together minus the champion's."""
        return self.score_now - self.score_before

    @property
    def gains(self) -> np.ndarray:
        """The challenger's gain by the score of each row alone."""
        result: np.ndarray = self._score(self.now) - self._score(self.before)
        return result

    def draws(self, *, resamples: int, seed: int) -> np.ndarray:
        """Return the difference on each of so many samples of the rows."""
        rng, rows = np.random.default_rng(seed), len(self.now)
        chunk = max(1, CELLS // rows)
        sizes = [min(chunk, resamples - start) for start in range(0, resamples, chunk)]
        drawn = (rng.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(float) for size in sizes)
        return np.concatenate([self._score(times @ self.now) - self._score(times @ self.before) for times in drawn])

    def interval(self, *, resamples: int, seed: int) -> Interval:
        """Return the 95 % interval of the difference."""
        low, high = np.quantile(self.draws(resamples=resamples, seed=seed), [0.025, 0.975])
        return Interval(low=float(low), high=float(high))

    def loss_p(self, *, resamples: int, seed: int) -> float:
        """Return the p-value of a loss, as `cl.statistics.loss_p` has it for means of rows.

        A gained row is added before the draw: the one that lost most, with the sides changed over.
        """
        gains = self.gains
        if not (gains < 0).any():
            return 1.0
        lost = int(np.argmin(gains))
        draws = PairedCounts(
            self.metric, np.vstack([self.before, self.now[lost]]), np.vstack([self.now, self.before[lost]])
        ).draws(resamples=resamples, seed=seed)
        return max(simulated_p(0.0, draws), 0.5 ** int(np.count_nonzero(gains)))

    def rows_to_decide(self, level: float, *, resamples: int, seed: int) -> int | None:
        """Return how many rows like these would show a significant loss at this level; None: there is no loss."""
        from scipy.stats import norm

        lost, spread = self.difference, float(self.draws(resamples=resamples, seed=seed).std())
        return int(np.ceil(len(self.now) * (norm.isf(level) * spread / lost) ** 2)) if lost < -TIE else None

    def _score(self, sums: np.ndarray) -> np.ndarray:
        return SCORE_OF_SUMS[self.metric](sums)


def stack_counts(column: pd.Series) -> np.ndarray:
    """Return the counts (rows, counts) of a stored column: a list of each row's, or its value alone."""
    stacked = np.array([np.atleast_1d(np.asarray(value, dtype=float)) for value in column])
    return np.hstack([stacked, np.ones_like(stacked)]) if stacked.shape[-1] == 1 else stacked


def score_of_rows(metric: str, column: pd.Series) -> float:
    """Return the score of all rows of a stored column together."""
    return float(SCORE_OF_SUMS[metric](stack_counts(column).sum(0)))
