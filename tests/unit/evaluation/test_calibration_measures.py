from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.evaluation.calibration import expected_calibration_error, measure_calibration
from cl.tasks import Encoded
from cl.tasks.text_classification import TextClassification

TASK = TextClassification()


def test_calibration_error_against_a_hand_computed_case() -> None:
    confidence = pd.Series([0.95, 0.95, 0.55, 0.55])
    right = pd.Series([1.0, 0.0, 1.0, 1.0])
    assert expected_calibration_error(confidence, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.45)
    assert expected_calibration_error(pd.Series([1.0, 1.0]), pd.Series([1.0, 1.0])) == pytest.approx(0.0)


def test_the_brier_score_against_hand_computed_cases() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]])
    assert TASK.brier(probabilities, Encoded([5], [0], [0])) == pytest.approx(0.3**2 + 0.2**2 + 0.1**2)
    unknown = TASK.brier(probabilities, Encoded([5], [-100], [0]))
    assert unknown == pytest.approx(0.7**2 + 0.2**2 + 0.1**2 + 1), "the truth was given no probability at all"


def test_the_brier_score_of_a_sentence_is_the_mean_over_its_words() -> None:
    probabilities = np.array([[0.9, 0.1], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    encoded = Encoded([1, 2, 3, 4], [-100, 0, -100, 0], [1, 3])
    assert TASK.brier(probabilities, encoded) == pytest.approx((0.0 + 2.0) / 2)
    assert TASK.brier(probabilities, Encoded([1], [-100], [])) == 0.0


def test_calibration_reads_stored_rows_and_says_nothing_without_any() -> None:
    rows = pd.DataFrame({"champion_score": [1.0, 0.0], "sure": [0.75, 0.75], "champion_brier": [0.1, 1.1]})
    assert measure_calibration(rows, "champion", "sure") == pytest.approx({"ece": 0.25, "brier": 0.6})
    assert measure_calibration(rows.head(0), "champion", "sure") == {}
