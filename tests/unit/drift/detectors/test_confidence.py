from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.confidence import Confidence
from cl.models.snapshot import Snapshot


def sure(confidences: np.ndarray) -> Snapshot:
    return Snapshot(pd.DataFrame({"confidence": confidences}), np.zeros((len(confidences), 0), dtype=np.float32))


def test_a_model_that_is_less_sure_is_an_alarm() -> None:
    rng = np.random.default_rng(0)
    finding = Confidence().detect(sure(rng.beta(9, 1, 500)), sure(rng.beta(5, 1, 250)), alpha=0.01, seed=0)
    assert finding.drifted and finding.kind == "predictions"


def test_confidences_of_the_same_kind_are_no_alarm_even_when_most_are_one() -> None:
    rng = np.random.default_rng(0)
    before, after = (np.minimum(1.0, rng.beta(9, 1, rows) * 1.2) for rows in (500, 250))
    assert not Confidence().detect(sure(before), sure(after), alpha=0.01, seed=0).drifted
