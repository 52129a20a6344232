from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact, kstest

from cl.drift.detectors.performance import Performance
from cl.models.snapshot import Snapshot


def scored(scores: list[float] | np.ndarray, label: str = "loan") -> Snapshot:
    frame = pd.DataFrame({"score": np.asarray(scores, dtype=float), "label": label, "text": "a text"})
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


def test_without_a_tolerance_it_is_fishers_test_at_half_of_alpha() -> None:
    finding = detect(scored(right(0.9, 100)), scored(right(0.8, 50)), tolerance=0.0)
    assert finding.p_value == pytest.approx(2 * fisher_exact([[40, 10], [90, 10]], alternative="less").pvalue)


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


NAMES = [f"class {at:03d}" for at in range(150)]


def classed(rows: int, seed: int, *, score: str = "right", broken: str = "", classes: int = 150) -> Snapshot:
    """Rows of many classes, texts of many lengths, nine in ten right; of the broken class, none."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"label": rng.choice(NAMES[:classes], rows)})
    frame["text"] = ["x" * length for length in rng.integers(5, 100, rows)]
    frame["score"] = (rng.uniform(size=rows) < 0.9).astype(float) if score == "right" else rng.beta(9, 1, rows)
    frame.loc[frame["label"] == broken, "score"] = 0.0
    return Snapshot(frame, np.zeros((rows, 0), dtype=np.float32), tuple(NAMES))


def test_one_class_of_150_that_is_always_wrong_is_an_alarm_that_names_it() -> None:
    whole = [classed(1_000, 0), classed(10_000, 1, broken="class 007")]
    finding = Performance().detect(*whole, alpha=0.001, seed=0)
    assert finding.drifted and finding.statistic > -0.02, "the mean is within the tolerance"
    assert finding.moved[0].name == "class 007" and finding.moved[0].after == finding.moved[0].low == 0.0
    assert "of 147 slices class 007 fell most: 100.0% to 0.0%" in finding.summary


def test_one_class_of_150_is_found_wherever_the_reference_has_six_rows_of_it() -> None:
    for seed in range(20):
        reference, new = classed(1_000, seed), classed(10_000, 900 + seed, broken="class 007")
        if (reference.frame["label"] == "class 007").sum() >= 6:
            assert Performance().detect(reference, new, alpha=0.003, seed=0).drifted


def test_long_texts_that_are_read_wrongly_are_an_alarm_that_names_them() -> None:
    new = classed(600, 1, classes=3)
    new.frame.loc[(new.frame["text"].str.len() > 70) & (np.arange(600) % 3 == 0), "score"] = 0.0
    finding = Performance().detect(classed(600, 0, classes=3), new, alpha=0.001, seed=0)
    assert finding.drifted and finding.moved[0].name == "long texts"


def test_the_slices_that_fell_most_are_told_without_an_alarm_too() -> None:
    finding = Performance().detect(classed(300, 0, classes=4), classed(200, 1, classes=4), alpha=0.001, seed=0)
    assert not finding.drifted and finding.moved
    assert all(one.low <= one.after <= one.high and one.after < one.before for one in finding.moved)


@pytest.mark.parametrize(
    ("score", "classes", "streams"),
    [
        ("right", 3, 150),
        ("right", 30, 150),
        ("fractional", 3, 40),
        pytest.param("fractional", 3, 80, marks=pytest.mark.nightly),
    ],
)
def test_false_alarms_are_no_more_frequent_than_alpha_says(score, classes, streams) -> None:
    sides = ((classed(200, 2 * at, score=score, classes=classes), 2 * at + 1) for at in range(streams))
    found = np.array([
        Performance(tolerance=0.0).detect(one, classed(150, seed, score=score, classes=classes), alpha=0.05, seed=seed)
        .p_value
        for one, seed in sides
    ])  # fmt: skip
    assert kstest(found, "uniform", alternative="greater").pvalue > 0.01, "p-values are nowhere too small"
    assert (found <= 0.5).mean() > 0.05, "and not so cautious that they say nothing"
