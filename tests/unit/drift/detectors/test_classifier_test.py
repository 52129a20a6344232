from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.classifier_test import ClassifierTest
from cl.models.snapshot import Snapshot


def embedded(rows: int, seed: int, *, shift: float = 0.0) -> Snapshot:
    embeddings = np.random.default_rng(seed).normal(size=(rows, 32)) + shift
    return Snapshot(pd.DataFrame({"label": ["a"] * rows}), embeddings.astype(np.float32), ("a",))


def test_embeddings_that_a_classifier_can_tell_apart_are_an_alarm() -> None:
    finding = ClassifierTest().detect(embedded(300, 0), embedded(200, 1, shift=0.25), alpha=0.01, seed=0)
    assert finding.drifted
    assert finding.statistic is not None and finding.statistic > 0.7


def test_false_alarms_are_as_rare_as_alpha_says() -> None:
    alarms = sum(
        ClassifierTest().detect(embedded(80, seed), embedded(60, 500 + seed), alpha=0.05, seed=seed).drifted
        for seed in range(60)
    )
    assert alarms <= 8  # 9 or more of 60 at 5 % have a chance of 0.2 %
