"""How long predictions take."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd

from cl.models.feature_cache import without_cache
from cl.models.inference import predict
from cl.models.learner import Learner

WARM_UP = 3


def measure_latency(learners: dict[str, Learner], rows: pd.DataFrame, *, calls: int) -> dict[str, dict[str, float]]:
    """Return ``latency_p50_ms`` and ``latency_p95_ms`` of one prediction of one row, for each model.

    The models are asked in turn, so that a machine that is busy for a moment is busy for all of them. Nothing is
    looked up in a cache. Without a row there are no numbers.

    Args:
        learners: the models by name.
        rows: asked one by one, from the first again after the last.
        calls: how many are timed, after a warm-up.
    """
    if rows.empty:
        return {who: {} for who in learners}
    times: dict[str, list[float]] = {who: [] for who in learners}
    for call in range(calls + WARM_UP):
        row = rows.iloc[[call % len(rows)]]
        for who, learner in learners.items():
            times[who].append(_seconds(learner, row))
    timed = {who: 1_000 * np.array(all_of[WARM_UP:]) for who, all_of in times.items()}
    return {
        who: {"latency_p50_ms": float(np.median(ms)), "latency_p95_ms": float(np.quantile(ms, 0.95))}
        for who, ms in timed.items()
    }


def measure_throughput(learner: Learner, rows: pd.DataFrame) -> dict[str, float]:
    """Return ``rows_per_second`` over rows that are given at once; nothing without a row."""
    return {} if rows.empty else {"rows_per_second": len(rows) / _seconds(learner, rows)}


def _seconds(learner: Learner, rows: pd.DataFrame) -> float:
    started = time.perf_counter()
    with without_cache():
        predict(learner, rows)
    return time.perf_counter() - started
