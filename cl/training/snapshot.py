"""Rows as a model sees them: what drift detection compares."""

from __future__ import annotations

import pandas as pd

from cl.detectors import Snapshot
from cl.training.inference import answer
from cl.training.learner import Learner


def snapshot(learner: Learner, rows: pd.DataFrame) -> Snapshot:
    """Return the rows with the learner's predictions, confidences, row scores and embeddings."""
    task, answers = learner.task, answer(learner, rows)
    predicted = rows.assign(**{task.columns[1]: answers.values})
    frame = pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "text": task.texts(rows).to_numpy(),
            "label": task.classes(rows).to_numpy(),
            "prediction": task.classes(predicted).to_numpy(),
            "confidence": [prediction.confidence for prediction in answers.predictions],
            "score": task.row_scores(rows, answers.values),
        }
    )
    return Snapshot(frame, answers.embeddings, tuple(task.class_names(learner.labels)))


def unlabelled(learner: Learner, rows: pd.DataFrame) -> Snapshot:
    """Return rows whose labels have not come, as the learner sees them: no label, and a score that is not known."""
    task, answers = learner.task, answer(learner, rows)
    frame = pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "text": task.texts(rows).to_numpy(),
            "label": "",
            "prediction": task.classes(rows.assign(**{task.columns[1]: answers.values})).to_numpy(),
            "confidence": [prediction.confidence for prediction in answers.predictions],
            "score": float("nan"),
        }
    )
    nothing = pd.Series([], dtype=object)
    return Snapshot(frame, answers.embeddings, tuple(task.class_names(learner.labels)), labels=nothing)
