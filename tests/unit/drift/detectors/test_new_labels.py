from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.new_labels import NewLabels, unseen_labels
from cl.models.snapshot import Snapshot


def labelled(labels: list[str], known: tuple[str, ...], separator: str | None = None) -> Snapshot:
    frame = pd.DataFrame({"label": labels, "prediction": known[0]})
    return Snapshot(frame, np.zeros((len(labels), 0), dtype=np.float32), known, separator=separator)


def detect(new: Snapshot, **fields: float):
    return NewLabels(**fields).detect(labelled(["loan"] * 9, ("loan",)), new, alpha=0.01, seed=0)


def test_three_rows_of_a_new_label_are_an_alarm_that_names_it() -> None:
    finding = detect(labelled(["loan"] * 40 + ["lost card"] * 3, ("loan",)))
    assert finding.drifted
    assert finding.p_value is None
    assert finding.summary == "3 rows with labels the champion has never seen: lost card (3)"


def test_one_slip_of_the_pen_is_no_alarm_but_is_told() -> None:
    finding = detect(labelled(["loan"] * 40 + ["laon"], ("loan",)))
    assert not finding.drifted
    assert finding.summary.endswith("laon (1); no single label reaches 3 of 41 rows, so there is no alarm")


def test_three_different_slips_of_the_pen_are_no_alarm() -> None:
    finding = detect(labelled(["loan"] * 40 + ["laon", "lona", "olan"], ("loan",)))
    assert not finding.drifted and finding.statistic == 3


def test_the_more_rows_the_more_of_one_new_label_it_takes() -> None:
    many = ["loan"] * 9_990
    assert detect(labelled([*many, *["lost card"] * 10], ("loan",))).drifted
    finding = detect(labelled([*many, *["laon"] * 9, "lona"], ("loan",)))
    assert not finding.drifted
    assert finding.summary.endswith("lona (1); no single label reaches 10 of 10000 rows, so there is no alarm")
    assert detect(labelled([*many, *["laon"] * 3], ("loan",)), share=0.0).drifted


def test_how_many_rows_it_takes_is_a_field() -> None:
    assert detect(labelled(["loan", "laon"], ("loan",)), min_rows=1).drifted


def test_a_new_entity_type_counts_beside_known_ones_in_the_same_sentence() -> None:
    labels, known = ["O", "LOC", "LOC PER", "LOC ORG", "ORG", "LOC ORG PER"], ("O", "LOC", "PER")
    finding = detect(labelled(labels, known, separator=" "))
    assert finding.drifted
    assert finding.summary.endswith("never seen: ORG (3)")


def test_a_text_label_with_spaces_is_one_label() -> None:
    assert unseen_labels(labelled(["lost card", "card"], ("card", "lost"))).tolist() == [["lost card"], []]
