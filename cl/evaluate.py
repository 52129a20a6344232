"""Evaluate a challenger and the champion on the test rows of every experience so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cl.config import Config
from cl.records import Evaluation, Score
from cl.training.best_version import load_best, with_best
from cl.training.feature_cache import bypassed
from cl.training.inference import Answers, answer, predict
from cl.training.learner import Learner, load_learner

LATENCY_CALLS = 30
Matrix = dict[str, dict[str, float]]


def evaluate(
    config: Config,
    *,
    challenger: Path,
    champion: Path | None,
    experiences: list[str],
    matrix: Matrix,
    rows_of: Callable[[list[str], str], pd.DataFrame],
    folder: Path,
) -> Evaluation:
    """Score both models on the same rows and store every row's prediction.

    Args:
        config: names the seed and the task.
        challenger: folder of the new learner.
        champion: folder of the serving version; None for a first model.
        experiences: ids of all experiences so far, the newest last.
        matrix: the accuracy matrix R up to the champion.
        rows_of: returns the rows of experiences (ids, split).
        folder: where predictions.parquet is written.
    """
    tests = {one: rows_of([one], "test") for one in experiences}
    learner = load_learner(challenger)
    answers = {one: answer(learner, rows) for one, rows in tests.items()}
    scores = _scores(learner, tests, answers)
    before, before_answers = _champion(champion, tests)
    newest = experiences[-1]
    grown: Matrix = {**matrix, newest: {score.experience: score.value for score in scores}}
    table = with_best(
        _table(learner, tests, answers, before_answers), load_best(champion) if champion is not None else None
    )
    path = folder / "predictions.parquet"
    table.to_parquet(path, index=False)
    return Evaluation(
        metric=learner.task.metric,
        challenger=scores,
        champion=before,
        accuracy=_mean(scores),
        champion_accuracy=_mean(before) if before else None,
        backward_transfer=backward_transfer(grown, newest),
        forgetting=forgetting(grown, newest, {score.experience: score.value for score in before}),
        matrix=grown,
        calibration_error=expected_calibration_error(table["confidence"], table["challenger_score"]),
        latency_ms=_latency(learner, pd.concat(tests.values())),
        size_mb=sum(path.stat().st_size for path in challenger.rglob("*.safetensors")) / 1e6,
        predictions=str(path),
    )


def forgetting(matrix: Matrix, newest: str, champion: dict[str, float]) -> dict[str, float]:
    """Return, for each past experience, its best score so far minus its score now (Chaudhry et al., 2018, eq. 3).

    The champion's own score counts among the past ones: it may know an experience it was never trained on.
    """
    now = matrix[newest]
    earlier = [row for name, row in matrix.items() if name != newest]
    past = {one for row in earlier for one in row} | (set(champion) if earlier else set())
    return {
        one: max([row[one] for row in earlier if one in row] + [champion.get(one, 0.0)]) - now[one]
        for one in now
        if one != newest and one in past
    }


def backward_transfer(matrix: Matrix, newest: str) -> float | None:
    """Return BWT: the mean change since an experience was first scored (Lopez-Paz and Ranzato, 2017, eq. 3)."""
    first: dict[str, float] = {}
    for name, row in matrix.items():
        if name != newest:
            first = {**row, **first}
    changes = [matrix[newest][one] - score for one, score in first.items() if one in matrix[newest] and one != newest]
    return float(np.mean(changes)) if changes else None


def expected_calibration_error(confidence: pd.Series, right: pd.Series, bins: int = 15) -> float:
    """Return ECE: the gap between confidence and accuracy, averaged over equal bins (Guo et al., 2017, eq. 3)."""
    if confidence.empty:
        return 0.0
    bin_of = np.minimum((confidence.to_numpy() * bins).astype(int), bins - 1)
    gaps = (confidence - right).groupby(bin_of).sum().abs()
    return float(gaps.sum() / len(confidence))


def _champion(folder: Path | None, tests: dict[str, pd.DataFrame]) -> tuple[list[Score], dict[str, Answers]]:
    if folder is None:
        return [], {}
    learner = load_learner(folder)
    answers = {one: answer(learner, rows) for one, rows in tests.items()}
    return _scores(learner, tests, answers), answers


def _scores(learner: Learner, tests: dict[str, pd.DataFrame], answers: dict[str, Answers]) -> list[Score]:
    metrics = {one: learner.task.score(rows, answers[one].values) for one, rows in tests.items()}
    return [
        Score(experience=one, rows=len(rows), value=metrics[one][learner.task.metric], metrics=metrics[one])
        for one, rows in tests.items()
        if len(rows)
    ]


def _table(
    learner: Learner,
    tests: dict[str, pd.DataFrame],
    challenger: dict[str, Answers],
    champion: dict[str, Answers],
) -> pd.DataFrame:
    """One row for each test row, as gates and reports read it."""
    describe, column = learner.task.describe, learner.task.columns[1]
    parts = []
    for one, rows in tests.items():
        part = pd.DataFrame({"experience": one, "id": rows["id"], "target": rows[column].map(describe)})
        part["challenger"] = [describe(value) for value in challenger[one].values]
        part["challenger_score"] = learner.task.row_scores(rows, challenger[one].values)
        part["confidence"] = [prediction.confidence for prediction in challenger[one].predictions]
        if one in champion:
            part["champion"] = [describe(value) for value in champion[one].values]
            part["champion_score"] = learner.task.row_scores(rows, champion[one].values)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def _mean(scores: list[Score]) -> float:
    return float(np.mean([score.value for score in scores])) if scores else 0.0


def _latency(learner: Learner, rows: pd.DataFrame) -> float:
    """Return the median milliseconds of one prediction, after a warm-up; 0 without a row to predict."""
    if rows.empty:
        return 0.0
    times = []
    for call in range(LATENCY_CALLS + 3):
        row = rows.iloc[[call % len(rows)]]
        started = time.perf_counter()
        with bypassed():
            predict(learner, row)
        times.append(time.perf_counter() - started)
    return float(np.median(times[3:]) * 1_000)
