from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.drift.detectors.estimated_performance import EstimatedPerformance
from cl.models.snapshot import Snapshot


def sure(rows: int, seed: int, *, hard: float = 0.2, labelled: bool = True) -> Snapshot:
    """A share of hard rows, right half of the time; the others 95 times in 100. Confidence tells them apart."""
    rng = np.random.default_rng(seed)
    is_hard = rng.uniform(size=rows) < hard
    right = rng.uniform(size=rows) < np.where(is_hard, 0.5, 0.95)
    confidence = np.where(is_hard, 0.8, 0.99) + rng.uniform(-0.01, 0.01, rows)
    score = right.astype(float) if labelled else np.full(rows, np.nan)
    return Snapshot(pd.DataFrame({"confidence": confidence, "score": score}), np.zeros((rows, 0), dtype=np.float32))


def test_the_score_is_estimated_without_labels_and_its_fall_is_an_alarm() -> None:
    finding = EstimatedPerformance().detect(sure(1_000, 0), sure(500, 1, hard=0.6, labelled=False), alpha=0.001, seed=0)
    assert finding.drifted
    assert finding.statistic == pytest.approx(0.4 * (0.5 - 0.95), abs=0.05)


def test_as_many_hard_rows_as_before_are_no_alarm_and_fewer_neither() -> None:
    for hard in (0.2, 0.05):
        new = sure(500, 1, hard=hard, labelled=False)
        assert not EstimatedPerformance().detect(sure(1_000, 0), new, alpha=0.05, seed=0).drifted


def test_a_fall_within_the_tolerance_is_no_alarm() -> None:
    new = sure(2_000, 1, hard=0.3, labelled=False)
    assert not EstimatedPerformance(tolerance=0.1).detect(sure(2_000, 0), new, alpha=0.05, seed=0).drifted
