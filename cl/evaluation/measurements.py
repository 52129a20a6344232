"""Take every measurement of challenger and champion, on the same rows and in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.evaluation.calibration import measure_calibration
from cl.evaluation.latency import measure_latency, measure_throughput
from cl.evaluation.memory import measure_memory_mb, size_mb
from cl.evaluation.out_of_scope import measure_out_of_scope
from cl.evaluation.robustness import measure_robustness
from cl.models.learner import Learner

CHALLENGER, CHAMPION = "challenger", "champion"
CONFIDENCE = {CHALLENGER: "confidence", CHAMPION: "champion_confidence"}
"""The columns of the stored rows with each model's confidence."""


def measure(
    config: Config,
    learners: dict[str, Learner],
    folders: dict[str, Path],
    rows: pd.DataFrame,
    table: pd.DataFrame,
    out_of_scope_texts: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return each model's measurements by name, without those that no row allows.

    Args:
        config: what to measure, on how many rows, and the seed for drawing them.
        learners: challenger and, if there is one, champion.
        folders: the folder of each model.
        rows: the test rows.
        table: the stored rows with both models' answers.
        out_of_scope_texts: out-of-scope texts.
    """
    settings = config.evaluation
    label = settings.out_of_scope.label
    times = measure_latency(learners, rows, calls=settings.latency_calls)
    robustness_rows = draw_rows(rows, settings.robustness_rows, config.seed)
    throughput_rows = draw_rows(rows, settings.throughput_rows, config.seed)
    return {
        who: {
            **_measure_calibration(learner, table, who),
            **measure_out_of_scope(learner, table, who, CONFIDENCE[who], label=label, texts=list(out_of_scope_texts)),
            **measure_robustness(learner, robustness_rows, settings, seed=config.seed),
            **times[who],
            **measure_throughput(learner, throughput_rows),
            **(measure_memory_mb(learner, throughput_rows) if settings.throughput_rows else {}),
            **size_mb(folders[who]),
        }
        for who, learner in learners.items()
    }


def _measure_calibration(learner: Learner, table: pd.DataFrame, who: str) -> dict[str, float]:
    """Return ``ece`` and ``brier``; the first only of a model that says more than how probable the true answers are."""
    measured = measure_calibration(table, who, CONFIDENCE[who])
    return {name: value for name, value in measured.items() if name != "ece" or not learner.task.reads_answers}


def draw_rows(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return at most ``most`` rows, drawn at random but the same for every model."""
    return rows if len(rows) <= most else rows.sample(most, random_state=seed).reset_index(drop=True)
