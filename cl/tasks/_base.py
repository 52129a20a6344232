"""Task types, one file each: columns, targets, features, decoding and scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cl.plugins import Plugin
from cl.records import Score

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row.

    ``targets`` has one entry for each prediction: the row's class, or the tag of each word piece (-100: ignored).
    ``anchors`` are the positions whose predictions count: for tokens, the first piece of each word.
    """

    input_ids: list[int]
    targets: list[int]
    anchors: list[int]


@dataclass(frozen=True)
class Prediction:
    """One row's prediction: a label, or a tag for each token, and its probability."""

    value: Any
    confidence: float


class Task(Plugin):
    """Base of all task types."""

    columns: ClassVar[tuple[str, str]]
    metric: ClassVar[str]
    row_metric: ClassVar[str] = "row score"
    """What the mean of `row_scores` is called."""
    undecided: ClassVar[str] = "none of its {rows} test rows decides a score"
    """Why there may be no main score although there are rows; ``{rows}`` is how many."""
    distils: ClassVar[bool] = False
    """Whether the task predicts probabilities over labels, which a student can learn."""

    splits_words: ClassVar[bool] = False
    """Whether rows come as words, each of which must be found among the tokenizer's pieces."""

    solver: ClassVar[dict[str, Any]] = {"name": "ranpac"}
    """The strategy that solves best for a head over frozen features, by default."""

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the labels that the rows use, sorted: classes, or BIO2 tags."""
        raise NotImplementedError

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise rows; a target that is missing or not among ``labels`` is -100 and ignored in training."""
        raise NotImplementedError

    def features(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Turn the encoder's states (rows, length, width) into the head's input, one vector for each prediction."""
        raise NotImplementedError

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return a batch's targets in the shape of the logits without their last dimension."""
        raise NotImplementedError

    def decode(self, probabilities: np.ndarray, encoded: Encoded, words: int, labels: list[str]) -> Prediction:
        """Turn one row's probabilities (positions, labels) into a prediction of the task."""
        raise NotImplementedError

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return the score of each row, 0 to 1, which gates resample and detectors compare."""
        raise NotImplementedError

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the task's metrics over rows, 0 to 1; the main metric is named ``metric``.

        A metric that the rows cannot decide is left out: it is neither 0 nor 1.
        """
        raise NotImplementedError

    def main_score(self, rows: pd.DataFrame, predictions: list[Any]) -> float | None:
        """Return the main metric over rows; None: the rows cannot decide it."""
        return self.score(rows, predictions).get(self.metric)

    def score_experience(self, experience: str, rows: pd.DataFrame, predictions: list[Any]) -> Score:
        """Return the score on an experience's test rows; if they cannot decide it, why."""
        metrics = self.score(rows, predictions)
        value, why = metrics.get(self.metric), ""
        if value is None:
            why = self.undecided.format(rows=len(rows)) if len(rows) else "it has no test rows"
        return Score(experience=experience, rows=len(rows), value=value, metrics=metrics, undecided=why)

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the score of each class that occurs in the rows, 0 to 1; gates use the worst one."""
        raise NotImplementedError

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class that occurs in the rows."""
        raise NotImplementedError

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return each row's text as one string, for descriptors and reports."""
        raise NotImplementedError

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return one class name for each row, for the label mix, balanced buffers and drift."""
        raise NotImplementedError

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the class names behind the head's labels, as `classes` formats them."""
        raise NotImplementedError

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return the classes among `class_names` that `per_class` scores."""
        return self.class_names(labels)

    def describe(self, value: Any) -> str:
        """Return a prediction or target as one string for a table."""
        raise NotImplementedError


def filler(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the token that stands for text of which the tokenizer leaves nothing."""
    tokens = (getattr(tokenizer, f"{kind}_token", None) for kind in ("unk", "eos", "sep", "pad"))
    return next(str(token) for token in tokens if token)


def scores_by_class(truth: set[tuple[Any, ...]], predicted: set[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
    """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class in the truth, by name.

    Args:
        truth: true entries (row, class, ...).
        predicted: predicted entries in the same form; equal entries are right.
    """
    actual, claimed, right = (
        Counter(str(entry[1]) for entry in entries) for entries in (truth, predicted, truth & predicted)
    )
    return {
        name: {
            "count": float(actual[name]),
            "precision": right[name] / claimed[name] if claimed[name] else 0.0,
            "recall": right[name] / actual[name],
            "f1": 2 * right[name] / (actual[name] + claimed[name]),
        }
        for name in sorted(actual)
    }
