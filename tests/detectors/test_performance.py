from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from cl.detectors import Snapshot
from cl.detectors.performance import Performance


def scored(scores: list[float] | np.ndarray, label: str = "loan") -> Snapshot:
    frame = pd.DataFrame({"score": np.asarray(scores, dtype=float), "label": label})
    return Snapshot(frame, np.zeros((len(frame), 0), dtype=np.float32), ("loan",))


def right(share: float, rows: int) -> list[float]:
    return [1.0] * round(share * rows) + [0.0] * round((1 - share) * rows)


def detect(reference: Snapshot, new: Snapshot, **fields: float):
    return Performance(**fields).detect(reference, new, alpha=0.01, seed=0)


def test_a_worse_champion_is_an_alarm_with_its_interval() -> None:
    finding = detect(scored(right(0.92, 500)), scored(right(0.76, 250)))
    assert finding.drifted
    assert "92.0% on 500" in finding.summary and "76.0% on 250" in finding.summary
    assert "interval 70.3% to 80.9%" in finding.summary


def test_a_better_champion_is_no_alarm() -> None:
    assert not detect(scored(right(0.7, 500)), scored(right(0.95, 250))).drifted


def test_a_drop_within_the_tolerance_is_no_alarm_however_many_rows_show_it() -> None:
    reference, new = scored(right(0.92, 50_000)), scored(right(0.905, 50_000))
    assert not detect(reference, new, tolerance=0.02).drifted
    assert detect(reference, new, tolerance=0.0).drifted


def test_without_a_tolerance_it_is_fishers_test() -> None:
    finding = detect(scored(right(0.9, 100)), scored(right(0.8, 50)), tolerance=0.0)
    assert finding.p_value == pytest.approx(fisher_exact([[40, 10], [90, 10]], alternative="less").pvalue)


def test_fractional_scores_are_compared_by_their_means() -> None:
    rng = np.random.default_rng(0)
    before, like, worse = rng.beta(9, 1, 400), rng.beta(9, 1, 200), rng.beta(4, 1, 200)
    assert not detect(scored(before), scored(like)).drifted
    assert detect(scored(before), scored(worse)).drifted
    assert detect(scored(before[:150]), scored(worse)).drifted


def test_rows_of_new_labels_do_not_count_against_the_champion() -> None:
    known, strange = scored(right(0.9, 100)), scored([0.0] * 100, label="brand new")
    new = Snapshot(pd.concat([known.frame, strange.frame]), np.zeros((200, 0), dtype=np.float32), ("loan",))
    finding = detect(scored(right(0.9, 300)), new)
    assert not finding.drifted and "90.0% on 100 new ones" in finding.summary
