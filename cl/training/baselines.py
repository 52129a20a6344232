"""Score the simplest things that could work, on the same rows as a challenger: it should do better than these."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config
from cl.config.capability_checks import usable_baselines
from cl.models.build import grow_labels, new_learner
from cl.models.frozen_features import reading_once
from cl.models.inference import answer
from cl.models.learner import Learner
from cl.models.weights import learnable
from cl.records import Baselines, BaselineScores, Score
from cl.records.evaluation import mean_score
from cl.stores.data.draw import draw_rows
from cl.stores.data.experiences import RowsOf
from cl.tasks import Task
from cl.training.strategies import State, Strategy, TrainingData, Update

log = logging.getLogger(__name__)
MOST_ROWS = 5_000
"""Rows that a baseline is fitted on."""


def score_baselines(
    config: Config, learned: Sequence[str], rows_of: RowsOf, tests: Mapping[str, pd.DataFrame], folder: Path
) -> Baselines:
    """Fit each baseline on frozen features of all rows, and score it on the test rows of each experience.

    A baseline that requires more than the task provides is left out. The features are those of the pretrained encoder,
    which reads each row once within `feature_cache.cached_in`.

    Args:
        config: the task, the model and the seed.
        learned: ids of the experiences that a challenger will have learned.
        rows_of: returns the rows of experiences (ids, split).
        tests: experience -> the test rows to score them on.
        folder: each row's scores are written into it.
    """
    names = usable_baselines(plugins.build(Task, config.task)) if config.evaluation.baselines else []
    if not names:
        return Baselines()
    rows = learnable(draw_rows(rows_of, learned, ("train", "validation"), most=MOST_ROWS, seed=config.seed))
    learner = new_learner(config.with_baseline(names[0]))
    learner = grow_labels(learner, learner.task.labels(rows), seed=config.seed)
    lesson = TrainingData(rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(config.seed))
    table = pd.concat([part[["id"]].assign(experience=id) for id, part in tests.items()], ignore_index=True)
    fitted = {}
    with reading_once():
        for name in names:
            started = time.monotonic()
            solved = plugins.build(Strategy, name).finish(Update(State(), lesson, learner))
            scores, values = _score(solved, tests)
            table[name] = values
            fitted[name] = BaselineScores(accuracy=(accuracy := mean_score(scores)), scores=scores)
            shown = "undecided" if accuracy is None else f"{accuracy:.4f}"
            log.info("baseline %s: %s, %.1f s", name, shown, time.monotonic() - started)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path := folder / "baselines.parquet", index=False)
    return Baselines(of=fitted, rows=str(path))


def _score(learner: Learner, tests: Mapping[str, pd.DataFrame]) -> tuple[list[Score], np.ndarray]:
    """Return the scores on each experience, and of each row."""
    together = pd.concat(tests.values(), ignore_index=True)
    values, start = answer(learner, together).values, 0
    scores = list[Score]()
    for id, rows in tests.items():
        score = learner.task.score_experience(id, rows, values[start : start + len(rows)])
        scores.append(score.model_copy(update={"metrics": {}}))
        start += len(rows)
    return scores, learner.task.row_scores(together, values)
