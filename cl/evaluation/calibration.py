"""Measure calibration: whether a model's confidence matches its accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd


def expected_calibration_error(confidence: pd.Series, right: pd.Series, bins: int = 15) -> float:
    """Return ECE: the gap between confidence and accuracy, averaged over equal bins (Guo et al., 2017, eq. 3)."""
    if confidence.empty:
        return 0.0
    bin_of = np.minimum((confidence.to_numpy() * bins).astype(int), bins - 1)
    gaps = (confidence - right).groupby(bin_of).sum().abs()
    return float(gaps.sum() / len(confidence))


def measure_calibration(table: pd.DataFrame, who: str, confidence: str) -> dict[str, float]:
    """Return ``ece`` and ``brier`` of a model over stored rows; an empty dict without rows.

    Args:
        table: one row per test row, with the columns ``{who}_score`` and ``{who}_brier``.
        who: challenger or champion.
        confidence: the column with the model's confidence.
    """
    if table.empty:
        return {}
    return {
        "ece": expected_calibration_error(table[confidence], table[f"{who}_score"]),
        "brier": float(table[f"{who}_brier"].mean()),
    }
