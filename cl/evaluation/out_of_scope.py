"""Whether a model is less sure of what is out of its scope than of what it was made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cl.config import OutOfScope
from cl.errors import ConfigError
from cl.models.inference import predict
from cl.models.learner import Learner
from cl.tasks import Prediction, Task

MOST_TEXTS = 1_000
"""Lines of a file that are read: enough for an AUROC within a point or two."""


def read_texts(settings: OutOfScope, root: Path) -> list[str]:
    """Return the out-of-scope texts of the file that the configuration names; none where it names none.

    Raises:
        ConfigError: the file cannot be read, or lies outside the project.
    """
    if settings.file is None:
        return []
    path = (root / settings.file).resolve()
    if not path.is_relative_to(root.resolve()):
        raise ConfigError(f"evaluation.out_of_scope.file: '{settings.file}' lies outside the project {root}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"evaluation.out_of_scope.file: {path} cannot be read: {error}") from None
    return [line.strip() for line in lines if line.strip()][:MOST_TEXTS]


def measure_out_of_scope(
    learner: Learner, table: pd.DataFrame, who: str, confidence: str, *, label: str | None, texts: list[str]
) -> dict[str, float]:
    """Return ``oos_auroc``; nothing where no row is out of scope, or every one is.

    A row ranks by how unsure the model is, 1 minus the greatest probability (Hendrycks and Gimpel, 2017); one that the
    model answers with the out-of-scope label itself ranks above all others, by its confidence.

    Args:
        learner: the model; it answers the texts.
        table: one row a test row, with ``target``, the model's answer under its name, and its confidence.
        who: challenger or champion: the column with its answers.
        confidence: the column with its confidence.
        label: of test rows that are out of scope.
        texts: more of them, from a file.
    """
    strange = table["target"] == label
    scores = rank_scores(table[who], table[confidence], label)
    answers = predict(learner, _rows(learner.task, texts)) if texts else []
    more = rank_scores(*_columns(learner.task, answers), label)
    found = auroc(np.concatenate([scores[strange], more]), scores[~strange])
    return {} if found is None else {"oos_auroc": found}


def rank_scores(answers: pd.Series, confidence: pd.Series, label: str | None) -> np.ndarray:
    """Return how far out of scope each row looks, from 0 to 2; from 1 on the model says so by the label."""
    sure = confidence.to_numpy(dtype=float)
    return np.where((answers == label).to_numpy(), 1 + sure, 1 - sure)


def auroc(strange: np.ndarray, known: np.ndarray) -> float | None:
    """Return the chance that a strange row ranks above a known one, ties half; None without rows on both sides."""
    from scipy.stats import mannwhitneyu

    if not len(strange) or not len(known):
        return None
    return float(mannwhitneyu(strange, known).statistic) / (len(strange) * len(known))


def _rows(task: Task, texts: list[str]) -> pd.DataFrame:
    column = task.columns[0]
    return pd.DataFrame({column: [text.split() for text in texts] if column == "tokens" else texts})


def _columns(task: Task, answers: list[Prediction]) -> tuple[pd.Series, pd.Series]:
    values = pd.Series([task.describe(one.value) for one in answers], dtype=object)
    return values, pd.Series([one.confidence for one in answers], dtype=float)
