"""Compare written answers by scores of all rows together, with the interval of the difference."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.gating.paired_counts import PairedCounts
from cl.records import ScoresTogether
from cl.records.evaluation import TOGETHER

RESAMPLES = 2_000


def store_counts(counts: np.ndarray) -> pd.Series:
    """Return counts (rows, counts) as a column: a list of each row's, or the value where the other count is 1."""
    return pd.Series(counts[:, 0] if counts.shape[1] == 2 else list(counts.astype(np.int64)))


def compare_together(table: pd.DataFrame, *, seed: int) -> list[ScoresTogether]:
    """Return challenger and champion by each score whose counts are stored; [] without a champion.

    Args:
        table: the stored rows.
        seed: of the paired bootstrap.
    """
    paired = (PairedCounts.of_rows(metric, table) for metric in TOGETHER)
    return [_compare(counts, seed) for counts in paired if counts is not None]


def _compare(counts: PairedCounts, seed: int) -> ScoresTogether:
    return ScoresTogether(
        metric=counts.metric,
        challenger=counts.score_now,
        champion=counts.score_before,
        rows=len(counts.now),
        **counts.interval(resamples=RESAMPLES, seed=seed).model_dump(),
    )
