from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.prediction_mix import PredictionMix
from cl.models.snapshot import Snapshot


def answered(loans: int, fees: int) -> Snapshot:
    frame = pd.DataFrame({"prediction": ["loan"] * loans + ["fee"] * fees, "label": "nobody knows"})
    return Snapshot(frame, np.zeros((loans + fees, 0), dtype=np.float32), ("fee", "loan"))


def test_other_answers_are_an_alarm_without_any_label() -> None:
    finding = PredictionMix().detect(answered(200, 200), answered(40, 110), alpha=0.001, seed=0)
    assert finding.drifted and finding.kind == "predictions"
    assert {one.name for one in finding.moved} == {"fee", "loan"} and finding.moved[0].before == 0.5


def test_the_same_answers_are_no_alarm() -> None:
    assert not PredictionMix().detect(answered(200, 200), answered(80, 70), alpha=0.05, seed=0).drifted
