from __future__ import annotations

import numpy as np
import pandas as pd

from cl.drift.detectors.novelty import Novelty, distances, normalise
from cl.models.snapshot import Snapshot


def placed(rows: int, seed: int, *, unknown_label_ids: int = 0) -> Snapshot:
    """Rows around one of ten directions; unknown_label_ids lie around another."""
    rng = np.random.default_rng(seed)
    centres = np.eye(64)[rng.integers(0, 10, rows)] * 4
    centres[:unknown_label_ids] = np.eye(64)[50] * 4
    frame = pd.DataFrame({"id": [f"{seed}-{at}" for at in range(rows)]})
    return Snapshot(frame, (centres + rng.normal(size=(rows, 64)) / 3).astype(np.float32))


def test_five_per_cent_of_rows_from_nowhere_are_an_alarm_that_shows_them() -> None:
    finding = Novelty().detect(placed(600, 0), placed(400, 1, unknown_label_ids=20), alpha=1e-3, seed=0)
    assert finding.drifted
    assert set(finding.examples) == {f"1-{at}" for at in range(20)}


def test_rows_from_known_places_are_no_alarm() -> None:
    finding = Novelty().detect(placed(600, 0), placed(400, 1), alpha=0.01, seed=0)
    assert not finding.drifted and finding.statistic < 0.05


def test_fewer_strangers_than_before_are_no_alarm() -> None:
    far = placed(200, 0)
    far.embeddings[:40] = np.random.default_rng(5).normal(size=(40, 64))
    assert not Novelty(share=0.2).detect(far, placed(300, 1), alpha=0.05, seed=0).drifted


def testdistances_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    rows, among = normalise(rng.normal(size=(5, 8))), normalise(rng.normal(size=(9, 8)))
    expected = [sorted(1 - float(row @ one) for one in among)[2] for row in rows]
    np.testing.assert_allclose(distances(rows, among, 3), expected, atol=1e-6)
