"""What rows count in training: their weights, where they have any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cl.records import ANNOTATED, WEIGHT

if TYPE_CHECKING:
    import torch


def row_weights(rows: pd.DataFrame) -> np.ndarray | None:
    """Return the weight of each row, 1 where it has none; None: every row counts once.

    >>> row_weights(pd.DataFrame({"sample_weight": [2.0, None]}))
    array([2., 1.])
    """
    if WEIGHT not in rows:
        return None
    column = rows[WEIGHT]
    if column.dtype == object:  # rows with and without weights together, or a text that was kept under this name
        column = column.map(lambda value: value if isinstance(value, float) else np.nan)
    weights: np.ndarray = column.astype(float).fillna(1.0).to_numpy()
    return None if (weights == 1).all() else weights


def learnable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that count in training: those with a weight above 0."""
    weights = row_weights(rows)
    return rows if weights is None or (weights > 0).all() else rows[weights > 0].reset_index(drop=True)


def relative(weights: np.ndarray | None, terms: np.ndarray | None = None) -> np.ndarray | None:
    """Return weights divided by their mean, so that sums of weighted terms over the number of terms are their mean.

    Args:
        weights: of rows; None: every row counts once.
        terms: how many terms each row has in the sum; None: one.
    """
    if weights is None or not len(weights):
        return None
    terms = np.ones(len(weights)) if terms is None else terms
    scaled = weights / max(weights.max(), np.finfo(float).tiny)  # sums of large weights would be infinite
    total = float((scaled * terms).sum())
    return scaled * (float(terms.sum()) / total) if total > 0 else np.zeros(len(weights))


def weights_of_positions(rows: pd.DataFrame, row: torch.Tensor) -> torch.Tensor | None:
    """Return the weight of each position in rows, float64; ``row`` is the number of its row."""
    import torch

    weights = row_weights(rows)
    return None if weights is None else torch.from_numpy(weights)[row]


def columns_to_learn(rows: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    """Return the columns that training reads: id, the task's own, and the weight and what is annotated if they say."""
    return ["id", *(name for name in (*columns, WEIGHT, ANNOTATED) if name in rows)]
