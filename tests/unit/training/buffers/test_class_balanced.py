"""A class that keeps coming is remembered from its beginning."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.training.buffers import Offer, View
from cl.training.buffers.class_balanced import ClassBalanced

NOTHING = View(embeddings=lambda rows: np.zeros((len(rows), 1)), margins=lambda rows: np.zeros(len(rows)))


def test_rows_of_a_class_are_kept_from_all_its_batches_alike() -> None:
    kept: pd.DataFrame | None = None
    for batch in range(10):
        new = pd.DataFrame({"id": [f"{batch}-{row}" for row in range(400)], "class": "loan", "batch": batch})
        offer = Offer(kept, new, 400, 400 * batch, np.random.default_rng(batch), NOTHING)
        kept = ClassBalanced().keep(offer).reset_index(drop=True)
    assert kept is not None and len(kept) == 400
    counts = kept["batch"].value_counts()
    assert len(counts) == 10 and counts.between(20, 65).all(), counts.to_dict()


def test_the_same_rows_are_kept_in_whatever_batches_they_came() -> None:
    rows = pd.DataFrame({"id": [str(number) for number in range(300)], "class": ["loan", "fee", "box"] * 100})
    whole = ClassBalanced().keep(Offer(None, rows, 30, 0, np.random.default_rng(0), NOTHING))
    first = ClassBalanced().keep(Offer(None, rows[:200], 30, 0, np.random.default_rng(1), NOTHING))
    parts = ClassBalanced().keep(Offer(first, rows[200:], 30, 200, np.random.default_rng(2), NOTHING))
    assert sorted(whole["id"]) == sorted(parts["id"])
