from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, chi2_contingency

from cl.drift.detectors.label_mix import LabelMix, excess_chi_squared, match_labels
from cl.drift.detectors.prediction_mix import PredictionMix
from cl.models.snapshot import Snapshot


def labelled(counts: dict[str, int], known: tuple[str, ...] = ("card", "fee", "loan")) -> Snapshot:
    labels = [label for label, count in counts.items() for _ in range(count)]
    return Snapshot(pd.DataFrame({"label": labels}), np.zeros((len(labels), 0), dtype=np.float32), known)


def detect(reference: Snapshot, new: Snapshot):
    return LabelMix().detect(reference, new, alpha=0.01, seed=0)


def test_other_shares_are_an_alarm_that_names_the_label_that_moved_most() -> None:
    finding = detect(labelled({"loan": 200, "fee": 200, "card": 100}), labelled({"loan": 50, "fee": 150, "card": 50}))
    assert finding.drifted
    assert "loan 40.0% to 20.0%" in finding.summary


def test_the_same_shares_are_no_alarm() -> None:
    assert not detect(labelled({"loan": 200, "fee": 100}), labelled({"loan": 98, "fee": 52})).drifted


def test_a_known_label_that_vanishes_is_an_alarm() -> None:
    assert detect(labelled({"loan": 200, "fee": 100}), labelled({"loan": 100})).drifted


def test_new_labels_are_left_to_their_own_detector() -> None:
    finding = detect(labelled({"loan": 200, "fee": 100}), labelled({"loan": 98, "fee": 52, "brand new": 300}))
    assert not finding.drifted
    assert "brand new" not in finding.summary


def test_rows_of_new_labels_are_not_among_those_that_show_it() -> None:
    shown = LabelMix().shows(labelled({"loan": 20, "fee": 10}), labelled({"loan": 5, "fee": 15, "gift": 80}))
    assert shown[-1] == -1.0 and shown[:20].max() < 0.05


def test_the_p_value_is_close_to_the_chi_squared_tests_where_that_one_holds() -> None:
    table = pd.DataFrame({"reference": [300, 250, 180], "new": [120, 130, 110]}, index=["loan", "fee", "card"])
    textbook = chi2_contingency(table.to_numpy(), correction=False)
    finding = detect(labelled(table["reference"].to_dict()), labelled(table["new"].to_dict()))
    assert excess_chi_squared(table) == pytest.approx(textbook.statistic - len(table), abs=0.3)
    assert finding.p_value == pytest.approx(textbook.pvalue, abs=0.02)


def test_thinned_sides_have_as_many_rows_of_each_label_and_keep_the_share_of_new_ones() -> None:
    before, after = labelled({"loan": 50, "fee": 10, "card": 4}), labelled({"loan": 20, "fee": 30, "gift": 10})
    old, new = match_labels(before, after, seed=0)
    assert old.frame["label"].value_counts().to_dict() == {"loan": 20, "fee": 10}
    assert new.frame["label"].value_counts().to_dict() == {"loan": 20, "fee": 10, "gift": 6}
    assert len(old.embeddings) == 30 and len(new.embeddings) == 36
    assert not match_labels(labelled({"loan": 3}), labelled({"gift": 3}), seed=0)[0].frame.size


def test_a_label_with_a_single_row_says_nothing_about_the_mix() -> None:
    table = pd.DataFrame({"reference": [30, 25], "new": [12, 30]}, index=["loan", "fee"])
    single = pd.DataFrame({"reference": [1, 0, 1], "new": [0, 1, 0]}, index=["card", "gift", "box"])
    share = table["new"].sum() / table.to_numpy().sum()
    even = pd.concat([table, single.assign(new=share, reference=1 - share)])
    assert excess_chi_squared(even) == pytest.approx(
        excess_chi_squared(table) - 3 * share * (1 - share) / (share * (1 - share) + max(share, 1 - share))
    )


KINDS = {
    "drawn": lambda rng, labels, rows: rng.choice(labels, rows),
    "even": lambda rng, labels, rows: np.resize(labels, rows),
}
"""A side of rows drawn at random, and one with as many rows of each label."""


@pytest.mark.parametrize("detector", [LabelMix(), PredictionMix()], ids=lambda detector: detector.name)
@pytest.mark.parametrize(
    ("labels", "reference", "new"),
    [
        (2, ("drawn", 100), ("drawn", 60)),
        (5, ("drawn", 200), ("even", 100)),
        (5, ("even", 100), ("drawn", 200)),
        (150, ("drawn", 400), ("drawn", 200)),
        (150, ("drawn", 200), ("even", 1_500)),
        (300, ("drawn", 200), ("even", 300)),
        (1_000, ("even", 1_000), ("drawn", 400)),
        (2_000, ("drawn", 1_000), ("even", 2_000)),
        (2_000, ("drawn", 1_000), ("drawn", 500)),
        (600, ("even", 600), ("even", 600)),
    ],
)
def test_without_a_shift_alarms_are_as_rare_as_promised(detector, labels, reference, new) -> None:
    names, rng = np.array([f"label {at}" for at in range(labels)]), np.random.default_rng(0)
    seeds, alpha, alarms = 30, 0.05, 0
    for seed in range(seeds):
        sides = [KINDS[kind](rng, names, rows) for kind, rows in (reference, new)]
        alarms += detector.detect(*(both(side, names) for side in sides), alpha=alpha, seed=seed).drifted
    assert alarms <= binom.isf(1e-3, seeds, alpha)


def zipf(labels: int) -> np.ndarray:
    shares = 1 / np.arange(1, labels + 1)
    return shares / shares.sum()


@pytest.mark.parametrize(
    ("before", "rows", "moved"),
    [
        (np.full(5, 0.2), (200, 200), {0: 0.5}),
        (np.full(150, 1 / 150), (1_000, 400), {7: 0.1}),
        (np.full(2_000, 1 / 2_000), (1_000, 2_000), dict.fromkeys(range(1_000), 0.003)),
        (zipf(2_000), (1_000, 500), {2: 0.2}),
        (zipf(2_000), (1_000, 500), {1_500: 0.08}),
        (zipf(1_000), (300, 1_500), {0: 0.35}),
    ],
    ids=["few labels", "one of many", "half of many", "a frequent one", "a rare one", "small reference"],
)
def test_a_real_shift_is_found_however_many_labels_there_are(before, rows, moved) -> None:
    names, rng = np.array([f"label {at}" for at in range(len(before))]), np.random.default_rng(0)
    after = before.copy()
    for label, by in moved.items():
        after[label] += by
    after /= after.sum()
    found = 0
    for seed in range(8):
        sides = [rng.choice(names, size, p=shares) for size, shares in zip(rows, (before, after), strict=True)]
        found += LabelMix().detect(*(both(side, names) for side in sides), alpha=0.01, seed=seed).drifted
    assert found >= 7


def both(names: np.ndarray, known: np.ndarray) -> Snapshot:
    frame = pd.DataFrame({"label": names, "prediction": names})
    return Snapshot(frame, np.zeros((len(names), 0), dtype=np.float32), tuple(known))
