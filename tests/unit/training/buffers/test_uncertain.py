from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.training.buffers import Offer, View
from cl.training.buffers.uncertain import Uncertain
from cl.training.strategies._rehearsal import _margin


def test_the_smallest_margins_of_each_class_stay_whether_old_or_new() -> None:
    old = pd.DataFrame({"id": list("abc"), "class": ["x", "x", "y"], "margin": [0.9, 0.1, 0.8]})
    new = pd.DataFrame({"id": list("def"), "class": ["x", "x", "y"], "margin": [0.2, 0.3, 0.7]})
    view = View(lambda rows: np.zeros((len(rows), 1)), lambda rows: rows["margin"].to_numpy())
    kept = Uncertain().keep(Offer(old, new, 3, 3, np.random.default_rng(0), view))
    assert list(kept["id"]) == ["b", "d", "f"]


def test_the_margin_of_a_row_is_its_narrowest() -> None:
    assert _margin(np.array([[0.6, 0.3, 0.1], [0.2, 0.35, 0.45]])) == pytest.approx(0.1)
    assert _margin(np.array([[1.0]])) == 1.0 and _margin(np.zeros((0, 3))) == 1.0
