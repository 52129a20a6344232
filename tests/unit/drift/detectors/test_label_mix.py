from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency

from cl.drift.detectors.label_mix import LabelMix, chi_squared, match_labels
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
    assert chi_squared(table) == pytest.approx(textbook.statistic)
    assert finding.p_value == pytest.approx(textbook.pvalue, abs=0.02)


def test_thinned_sides_have_as_many_rows_of_each_label_and_keep_the_share_of_new_ones() -> None:
    before, after = labelled({"loan": 50, "fee": 10, "card": 4}), labelled({"loan": 20, "fee": 30, "gift": 10})
    old, new = match_labels(before, after, seed=0)
    assert old.frame["label"].value_counts().to_dict() == {"loan": 20, "fee": 10}
    assert new.frame["label"].value_counts().to_dict() == {"loan": 20, "fee": 10, "gift": 6}
    assert len(old.embeddings) == 30 and len(new.embeddings) == 36
    assert not match_labels(labelled({"loan": 3}), labelled({"gift": 3}), seed=0)[0].frame.size


def test_many_labels_with_few_rows_each_raise_no_false_alarm() -> None:
    labels = tuple(f"label {at}" for at in range(150))
    rng, alarms = np.random.default_rng(0), 0
    for seed in range(30):
        sides = [pd.Series(rng.choice(labels, rows)).value_counts().to_dict() for rows in (400, 200)]
        found = LabelMix().detect(*(labelled(side, labels) for side in sides), alpha=0.05, seed=seed)
        alarms += found.drifted
    assert alarms <= 5  # 6 or more of 30 at 5 % have a chance of 0.3 %
