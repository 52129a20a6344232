"""Draw a bounded number of past rows, without reading the experiences that are not needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd

from cl.stores.data.experiences import RowsOf

FIRST = 16
"""Experiences that are read first, to see how many rows an experience has."""
SPARE = 1.25
"""How many times as many rows are read as are wanted, since experiences differ in size."""


def draw_rows(
    rows_of: RowsOf, ids: Sequence[str], splits: Sequence[str], *, most: int, seed: int, column: str | None = None
) -> pd.DataFrame:
    """Return the rows of some splits of experiences, split by split; at most so many, drawn at random.

    Only as many experiences are read as that needs, in a random order, so that the cost does not grow with their
    number. Where all rows are few enough, all are returned in the order of the experiences.

    Args:
        rows_of: returns the rows of experiences (ids, split).
        ids: of the experiences.
        splits: which of their rows.
        most: rows to return at most.
        seed: of the draw.
        column: names a column that says which split a row is of; None: there is none.
    """

    def read(chosen: np.ndarray) -> pd.DataFrame:
        kept = [ids[index] for index in sorted(chosen)]
        parts = [rows_of(kept, split) for split in splits]
        if column is not None:
            parts = [part.assign(**{column: split}) for part, split in zip(parts, splits, strict=True)]
        return pd.concat(parts, ignore_index=True)

    order, used = np.random.default_rng(seed).permutation(len(ids)), min(FIRST, len(ids))
    rows = read(order[:used])
    while len(rows) < most and used < len(ids):
        used = min(len(ids), 2 * used, ceil(SPARE * most * used / max(1, len(rows))) + 1)
        rows = read(order[:used])
    return rows if len(rows) <= most else rows.sample(most, random_state=seed % 2**31).reset_index(drop=True)
