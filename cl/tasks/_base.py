"""What is predicted: one file a task type, with its columns, targets, logits, decoding and scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cl.plugins import Plugin

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row.

    ``targets`` has one entry a prediction: the row's class, or the tag of each word piece (-100: ignored).
    ``anchors`` are the positions whose predictions count: for tokens, the first piece of each word.
    """

    input_ids: list[int]
    targets: list[int]
    anchors: list[int]


@dataclass(frozen=True)
class Prediction:
    """One row's answer: a label, or a tag for each token, and the probability it was given."""

    value: Any
    confidence: float


class Task(Plugin):
    """Base of all task types."""

    columns: ClassVar[tuple[str, str]]
    metric: ClassVar[str]
    distils: ClassVar[bool] = False
    """Whether its answers are probabilities over labels, which a student can learn."""

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the labels that the rows use, sorted: classes, or BIO2 tags."""
        raise NotImplementedError

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise rows; a target that is absent or not among ``labels`` is -100 and trains nothing."""
        raise NotImplementedError

    def features(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Turn the encoder's states (rows, length, width) into what the head reads, one a prediction."""
        raise NotImplementedError

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return a batch's targets in the shape of the logits without their last dimension."""
        raise NotImplementedError

    def decode(self, probabilities: np.ndarray, encoded: Encoded, words: int, labels: list[str]) -> Prediction:
        """Turn one row's probabilities (positions, labels) into an answer in the task's own words."""
        raise NotImplementedError

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return how right each row is, 0 to 1: what gates resample and detectors compare."""
        raise NotImplementedError

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the task's metrics over rows, 0 to 1; the main one has the name ``metric``."""
        raise NotImplementedError

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return how well each class that occurs in the rows is answered, 0 to 1: for the worst of them."""
        raise NotImplementedError

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class that occurs in the rows."""
        raise NotImplementedError

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return each row's text as one string, for descriptors and reports."""
        raise NotImplementedError

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return one class name a row, for the label mix, balanced buffers and drift."""
        raise NotImplementedError

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the class names behind the head's labels, as `classes` writes them."""
        raise NotImplementedError

    def describe(self, value: Any) -> str:
        """Return a prediction or target as one string that can be stored in a table."""
        raise NotImplementedError


def scores_by_class(truth: set[tuple[Any, ...]], found: set[tuple[Any, ...]]) -> dict[str, dict[str, float]]:
    """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class in the truth, by name.

    Args:
        truth: (row, class, ...): what there is.
        found: the same of what was answered; equal entries are right.
    """
    there, told, right = (Counter(str(one[1]) for one in some) for some in (truth, found, truth & found))
    return {
        name: {
            "count": float(there[name]),
            "precision": right[name] / told[name] if told[name] else 0.0,
            "recall": right[name] / there[name],
            "f1": 2 * right[name] / (there[name] + told[name]),
        }
        for name in sorted(there)
    }
