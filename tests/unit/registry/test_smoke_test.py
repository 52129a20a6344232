from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.registry.smoke_test import TOLERANCE_INT8, compare_answers, matching_rows, spread_rows  # type: ignore[attr-defined]

STORED = pd.DataFrame(
    {
        "experience": ["a", "a", "b"],
        "id": ["1", "2", "3"],
        "challenger": ["loan", "fee", "loan"],
        "confidence": [0.9, 0.5, 0.7],
    }
)


@pytest.mark.parametrize(
    ("answers", "confidence", "passed", "why"),
    [
        (["loan", "fee", "loan"], [0.9, 0.5001, 0.7], True, "answers 3 of 3 test rows as during evaluation"),
        (["loan", "loan", "loan"], [0.9, 0.5, 0.7], False, "row 2 of a was fee (0.500), is loan (0.500)"),
        (["loan", "fee", "loan"], [0.9, 0.5, 0.72], False, "row 3 of b was loan (0.700), is loan (0.720)"),
        (["loan", "fee", "loan"], [0.9, 0.5, np.nan], False, "answers 2 of 3"),
        (["loan", "fee"], [0.9, 0.5], False, "gives 2 answers to 3 rows"),
    ],
)
def test_a_version_passes_when_each_answer_is_the_one_that_was_stored(answers, confidence, passed, why) -> None:
    verdict = compare_answers(STORED, answers, np.array(confidence))
    assert verdict.passed is passed and why in verdict.why and verdict.gate == "smoke test"


@pytest.mark.parametrize(
    ("answers", "confidence", "passed"),
    [
        (["loan", "fee", "loan"], [0.85, 0.45, 0.75], True),
        (["loan", "loan", "loan"], [0.9, 0.48, 0.7], True),
        (["fee", "fee", "loan"], [0.9, 0.5, 0.7], False),
        (["loan", "loan", "loan"], [0.9, 0.7, 0.7], False),
        (["loan", "fee", "loan"], [0.75, 0.5, 0.7], False),
    ],
    ids=["a little off", "one of two that were as likely", "another answer", "a surer one", "far off"],
)
def test_in_whole_numbers_answers_may_move_a_little(answers, confidence, passed) -> None:
    assert compare_answers(STORED, answers, np.array(confidence), TOLERANCE_INT8).passed is passed


def test_the_rows_that_are_asked_are_spread_over_all_that_is_stored() -> None:
    stored = pd.DataFrame({"id": range(101)})
    assert spread_rows(stored, 5)["id"].tolist() == [0, 25, 50, 75, 100]
    assert spread_rows(stored, 1)["id"].tolist() == [0] and len(spread_rows(stored, 200)) == 101


def test_each_stored_row_finds_its_text() -> None:
    def rows_of(ids, split):
        return pd.DataFrame({"id": ["3", "2", "1"], "text": [f"{ids[0]} {split} {at}" for at in (3, 2, 1)]})

    assert matching_rows(STORED, rows_of)["text"].tolist() == ["a test 1", "a test 2", "b test 3"]
