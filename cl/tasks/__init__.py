"""What is predicted: one file a task type, with its columns, targets, head, loss, decoding and scores."""

from __future__ import annotations

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
    """Tokenised rows: word-piece ids and targets (an int a row, or one a word piece; -100 is ignored)."""

    input_ids: list[list[int]]
    targets: list[Any]


@dataclass(frozen=True)
class Prediction:
    """One row's answer: a label (or list of tags), its probability, and the encoder's mean-pooled embedding."""

    value: Any
    confidence: float


class Task(Plugin):
    """Base of all task types."""

    columns: ClassVar[tuple[str, ...]] = ()
    metric: ClassVar[str] = ""

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the labels that the rows use, sorted: classes, or tags with O first."""
        raise NotImplementedError

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> Encoded:
        """Tokenise rows; a target that is not among ``labels`` becomes -100 (it trains nothing)."""
        raise NotImplementedError

    def logits(self, hidden: torch.Tensor, mask: torch.Tensor, head: torch.nn.Module) -> torch.Tensor:
        """Apply the head to the encoder's states (rows, length, width): one vector a row or a word piece."""
        raise NotImplementedError

    def targets(self, targets: list[Any], length: int) -> torch.Tensor:
        """Return a batch of targets as one tensor, padded to ``length`` with -100 where that is needed."""
        raise NotImplementedError

    def decode(self, probabilities: np.ndarray, row: dict[str, Any], targets: Any, labels: list[str]) -> Prediction:
        """Turn one row's probabilities (classes, or length by tags) into an answer in the task's own words."""
        raise NotImplementedError

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return how right each row is, 0 to 1: what gates resample and detectors compare."""
        raise NotImplementedError

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the task's metrics over rows, the main one under the name ``metric``."""
        raise NotImplementedError

    def text(self, rows: pd.DataFrame) -> pd.Series:
        """Return each row's text, for descriptors and reports."""
        raise NotImplementedError

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return one class name a row, for the label mix, balanced buffers and drift."""
        raise NotImplementedError
