"""Text classification: one label for each text, from the mean of the encoder's states."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from cl.tasks import (
    IGNORED,
    Batch,
    Capability,
    Column,
    Encoded,
    Pooling,
    Prediction,
    Schema,
    Targets,
    Task,
    ValueKind,
    scores_by_class,
    text_ids,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase


class TextClassification(Task):
    """One label for each text.

    The states of all real tokens are averaged (Reimers and Gurevych, 2019, section 3), as sentence encoders
    are trained to; padding is left out of the mean.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'label': ['fee', 'loan']})
    >>> TextClassification().row_scores(rows, ['fee', 'fee']).tolist()
    [1.0, 0.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("text", ValueKind.TEXT, "The text", "where is my parcel?"),),
        answer=Column("label", ValueKind.LABEL, "The label", "parcel_status"),
    )
    provides: ClassVar[frozenset[Capability]] = frozenset(Capability) - {Capability.TOKENS}
    metric: ClassVar[str] = "accuracy"
    row_metric: ClassVar[str] = "accuracy"

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the classes, sorted."""
        return sorted(rows["label"].unique())

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise texts; one of which the tokenizer leaves nothing becomes the unknown token."""
        ids = text_ids(list(rows["text"]), tokenizer, max_length=max_length)
        index_of = {label: index for index, label in enumerate(labels)}
        wanted = rows["label"] if "label" in rows else [None] * len(rows)
        return [
            Encoded(row_ids, [index_of.get(label, IGNORED)], [0]) for row_ids, label in zip(ids, wanted, strict=True)
        ]

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return (rows, width): each text's states, pooled."""
        return pool(states, batch.mask)

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the class indices (rows,)."""
        import torch

        return torch.tensor([row.targets[0] for row in batch])

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Return the most probable label."""
        best = int(probabilities[0].argmax())
        return Prediction(targets.labels[best], float(probabilities[0, best]))

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return 1 for each correct row, 0 for each wrong row."""
        import numpy as np

        result: np.ndarray = (rows["label"].to_numpy() == np.asarray(predictions, dtype=object)).astype(float)
        return result

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return accuracy; and over the classes that occur, macro F1 and balanced accuracy, their mean recall.

        Without rows, nothing.
        """
        import numpy as np

        if rows.empty:
            return {}
        classes, counts, right = self._right_by_class(rows, predictions)
        answered = Counter(predictions)
        said = np.array([answered[name] for name in classes])
        return {
            "accuracy": float(right.sum() / len(rows)),
            "macro_f1": float((2 * right / (counts + said)).mean()),
            "balanced_accuracy": fmean((right / counts).tolist()),
        }

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the accuracy on each label's rows."""
        classes, counts, right = self._right_by_class(rows, predictions)
        return {str(name): float(share) for name, share in zip(classes, right / counts, strict=True)}

    def _right_by_class(self, rows: pd.DataFrame, predictions: list[Any]) -> tuple[list[Any], np.ndarray, np.ndarray]:
        """Return the classes of the rows, sorted; how many rows each has; and how many of them are answered right.

        Every experience is scored at each update, and few rows are counted faster this way than by scikit-learn.
        """
        import numpy as np

        truth = rows["label"].to_numpy(dtype=object)
        classes = sorted(set(truth))
        index_of = {name: index for index, name in enumerate(classes)}
        indices = np.array([index_of[name] for name in truth], dtype=np.int64)
        right = np.bincount(indices, weights=self.row_scores(rows, predictions), minlength=len(classes))
        return classes, np.bincount(indices, minlength=len(classes)), right

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of each label."""
        return scores_by_class(set(enumerate(rows["label"])), set(enumerate(predictions)))

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return the texts."""
        return rows["text"]

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the labels."""
        return rows["label"]

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the labels."""
        return labels

    def describe(self, value: Any) -> str:
        """Return the label."""
        return str(value)
