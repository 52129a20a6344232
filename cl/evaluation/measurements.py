"""Every number that is measured of challenger and champion, on the same rows and in the same run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.evaluation.calibration import calibration
from cl.evaluation.latency import latency, throughput
from cl.evaluation.memory import memory_mb, size_mb
from cl.evaluation.out_of_scope import out_of_scope
from cl.evaluation.robustness import robustness
from cl.models.learner import Learner

CHALLENGER, CHAMPION = "challenger", "champion"
CONFIDENCE = {CHALLENGER: "confidence", CHAMPION: "champion_confidence"}
"""The columns of the stored rows that hold how sure each of them was."""


def measured(
    config: Config,
    learners: dict[str, Learner],
    folders: dict[str, Path],
    tests: dict[str, pd.DataFrame],
    table: pd.DataFrame,
    strangers: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Return for each model its numbers by name; what no row shows is left out.

    Args:
        config: what is measured, on how many rows, and the seed of the draw.
        learners: challenger and, if there is one, champion.
        folders: where each of them lies.
        tests: experience -> its test rows.
        table: the stored rows with both models' answers.
        strangers: out-of-scope texts.
    """
    settings, rows = config.evaluation, pd.concat(tests.values(), ignore_index=True)
    label = settings.out_of_scope.label
    times = latency(learners, rows, calls=settings.latency_calls)
    disturbed = drawn(rows, settings.robustness_rows, config.seed)
    together = drawn(rows, settings.throughput_rows, config.seed)
    return {
        who: {
            **calibration(table, who, CONFIDENCE[who]),
            **out_of_scope(learner, table, who, CONFIDENCE[who], label=label, texts=list(strangers)),
            **robustness(learner, disturbed, settings, seed=config.seed),
            **times[who],
            **throughput(learner, together),
            **memory_mb(learner, together),
            **size_mb(folders[who]),
        }
        for who, learner in learners.items()
    }


def drawn(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """Return at most so many rows, drawn at random: the same for every model."""
    return rows if len(rows) <= most else rows.sample(most, random_state=seed).reset_index(drop=True)
