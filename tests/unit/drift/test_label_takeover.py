"""New labels that take the place of old ones: which changes are proposed, and when none is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cl.drift.label_takeover import describe_takeovers, find_takeovers
from cl.models.snapshot import Snapshot


def snapshot(rows: dict[tuple[str, str], int], known: tuple[str, ...]) -> Snapshot:
    """Return a snapshot with so many rows of each pair of label and prediction."""
    pairs = [pair for pair, count in rows.items() for _ in range(count)]
    frame = pd.DataFrame(pairs, columns=["label", "prediction"])
    frame["id"] = [str(index) for index in frame.index]
    return Snapshot(frame, np.zeros((len(frame), 2), dtype=np.float32), known)


KNOWN = ("fee", "loan", "box")
REFERENCE = snapshot({(label, label): 30 for label in KNOWN}, KNOWN)
PROPOSED = {
    "renamed": (
        {("refund", "fee"): 28, ("refund", "loan"): 2, ("loan", "loan"): 30},
        "28 of 30 rows with 'refund' are answered as 'fee', which no row has any longer; "
        "if it is the same: cl labels merge fee refund --into refund",
    ),
    "merged": (
        {("cost", "fee"): 20, ("cost", "box"): 20, ("loan", "loan"): 30},
        "40 of 40 rows with 'cost' are answered as 'box' and 'fee', which no row has any longer; "
        "if it is the same: cl labels merge box fee cost --into cost",
    ),
    "split": (
        {("small fee", "fee"): 10, ("large fee", "fee"): 12, ("loan", "loan"): 30},
        "22 of 22 rows with 'large fee' and 'small fee' are answered as 'fee', which no row has any longer; "
        "if it was split: cl labels split fee --by FILE",
    ),
}
NOT_PROPOSED = {
    "the old label still comes": {("refund", "fee"): 28, ("fee", "fee"): 1},
    "answered as anything": {("refund", "fee"): 10, ("refund", "loan"): 10, ("loan", "loan"): 30},
    "too few rows": {("refund", "fee"): 4, ("loan", "loan"): 30},
    "an old label that was hardly to be expected": {("refund", "fee"): 6, ("loan", "loan"): 1},
    "a batch about something else": {("born_in", "fee"): 30, ("part_of", "loan"): 30},
    "no new label": {("fee", "loan"): 20},
}


@pytest.mark.parametrize(("rows", "says"), PROPOSED.values(), ids=PROPOSED)
def test_the_change_that_the_rows_show_is_proposed(rows, says) -> None:
    assert describe_takeovers(find_takeovers(REFERENCE, snapshot(rows, KNOWN))) == says


@pytest.mark.parametrize("rows", NOT_PROPOSED.values(), ids=NOT_PROPOSED)
def test_nothing_is_proposed_without_evidence(rows) -> None:
    assert find_takeovers(REFERENCE, snapshot(rows, KNOWN)) == []


def test_nothing_is_proposed_for_types_of_entity() -> None:
    new = replace(snapshot(PROPOSED["renamed"][0], (*KNOWN, "O")), separator=" ")
    assert find_takeovers(REFERENCE, new) == []
