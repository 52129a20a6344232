"""Measure latency and throughput of predictions."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from cl.models.feature_cache import without_cache
from cl.models.inference import predict
from cl.models.learner import Learner

WARM_UP = 3


def measure_latency(learners: dict[str, Learner], rows: pd.DataFrame, *, calls: int) -> dict[str, dict[str, float]]:
    """Return ``latency_p50_ms`` and ``latency_p95_ms`` of single-row predictions, for each model.

    The models take turns, so that a busy moment of the machine affects all of them. The feature cache is off. Without
    rows or calls there are no numbers.

    Args:
        learners: the models by name.
        rows: predicted one at a time, cycling through them.
        calls: how many predictions are timed, after a warm-up.
    """
    if rows.empty or not calls:
        return {who: {} for who in learners}
    times: dict[str, list[float]] = {who: [] for who in learners}
    for call in range(calls + WARM_UP):
        row = rows.iloc[[call % len(rows)]]
        for who, learner in learners.items():
            times[who].append(_measure_seconds(learner, row))
    timed = {who: 1_000 * np.array(seconds[WARM_UP:]) for who, seconds in times.items()}
    return {
        who: {"latency_p50_ms": float(np.median(ms)), "latency_p95_ms": float(np.quantile(ms, 0.95))}
        for who, ms in timed.items()
    }


def measure_throughput(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``rows_per_second`` of one call with all rows; an empty dict without rows."""
    return {} if rows.empty else {"rows_per_second": len(rows) / _measure_seconds(learner, rows)}


def _measure_seconds(learner: Learner, rows: pd.DataFrame) -> float:
    started = time.perf_counter()
    with without_cache():
        predict(learner, rows)
    return time.perf_counter() - started
