"""Measure out-of-scope detection: whether a model is less confident on out-of-scope texts than on others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cl.config import OutOfScope
from cl.evaluation.text_files import read_lines
from cl.models.inference import predict
from cl.models.learner import Learner
from cl.tasks import Prediction, Task, ValueKind

MOST_TEXTS = 1_000
"""Most texts read from the file: enough for an AUROC within a point or two."""


def read_texts(settings: OutOfScope, root: Path) -> list[str]:
    """Return the texts of the configured out-of-scope file; an empty list if none is configured.

    Raises:
        ConfigError: the file cannot be read, or is outside the project.
    """
    if settings.file is None:
        return []
    return read_lines(settings.file, root, key="evaluation.out_of_scope.file")[:MOST_TEXTS]


def measure_out_of_scope(
    learner: Learner, table: pd.DataFrame, who: str, confidence: str, *, label: str | None, texts: list[str]
) -> dict[str, float]:
    """Return ``oos_auroc``; an empty dict unless there are rows both in and out of scope.

    A row is ranked by the model's uncertainty, 1 minus the greatest probability (Hendrycks and Gimpel, 2017); one that
    the model answers with the out-of-scope label ranks above all others, by its confidence.

    Args:
        learner: the model, which answers the texts.
        table: one row per test row, with ``target``, the model's answer and its confidence.
        who: challenger or champion: the column with its answers.
        confidence: the column with the model's confidence.
        label: the label of out-of-scope test rows.
        texts: more out-of-scope texts, from a file.
    """
    out_of_scope = table["target"] == label
    scores = rank_scores(table[who], table[confidence], label)
    asks = texts and learner.task.schema.input is not None  # a text alone is no input of a task with several
    answers = predict(learner, _rows_of_texts(learner.task, texts)) if asks else []
    text_scores = rank_scores(*_answer_columns(learner.task, answers), label)
    area = auroc(np.concatenate([scores[out_of_scope], text_scores]), scores[~out_of_scope])
    return {} if area is None else {"oos_auroc": area}


def rank_scores(answers: pd.Series, confidence: pd.Series, label: str | None) -> np.ndarray:
    """Return each row's out-of-scope score, from 0 to 2; at least 1 if the model answers with the label itself."""
    probability = confidence.to_numpy(dtype=float)
    result: np.ndarray = np.where((answers == label).to_numpy(), 1 + probability, 1 - probability)
    return result


def auroc(strange: np.ndarray, known: np.ndarray) -> float | None:
    """Return how often a ``strange`` score exceeds a ``known`` one, ties counting half; None if either is empty."""
    from scipy.stats import mannwhitneyu

    if not len(strange) or not len(known):
        return None
    return float(mannwhitneyu(strange, known).statistic) / (len(strange) * len(known))


def _rows_of_texts(task: Task, texts: list[str]) -> pd.DataFrame:
    column = task.schema.input
    words = column is not None and column.kind is ValueKind.WORDS
    return task.schema.frame([text.split() for text in texts] if words else texts)


def _answer_columns(task: Task, answers: list[Prediction]) -> tuple[pd.Series, pd.Series]:
    values = pd.Series([task.describe(answer.value) for answer in answers], dtype=object)
    return values, pd.Series([answer.confidence for answer in answers], dtype=float)
