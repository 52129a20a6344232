"""What tasks share whose rows belong to one class each: targets, answers and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from cl.plugins import Capability
from cl.tasks._base import IGNORED, Encoded, Prediction, Targets, Task, scores_by_class
from cl.tasks._schema import Schema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch


class SingleLabel(Task):
    """Base of the tasks that answer one label for each row: the column of the schema's answer."""

    schema: ClassVar[Schema]
    provides: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.LABELS,
            Capability.PROBABILITIES,
            Capability.EMBEDDINGS,
            Capability.LINEAR_HEAD,
            Capability.ENCODER,
        }
    )
    metric: ClassVar[str] = "accuracy"
    row_metric: ClassVar[str] = "accuracy"

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the classes, sorted."""
        return sorted(rows[self.schema.answer.name].unique())

    def label_indices(self, rows: pd.DataFrame, labels: list[str]) -> list[int]:
        """Return the index of each row's label; -100 where there is none, or it is not among the labels."""
        answer, index_of = self.schema.answer.name, {label: index for index, label in enumerate(labels)}
        return [index_of.get(label, IGNORED) for label in rows[answer]] if answer in rows else [IGNORED] * len(rows)

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the class indices (rows,)."""
        import torch

        return torch.tensor([row.targets[0] for row in batch])

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Return the most probable label."""
        best = int(probabilities[0].argmax())
        return Prediction(targets.labels[best], float(probabilities[0, best]))

    def decode_rows(self, probabilities: np.ndarray, encoded: Sequence[Encoded], targets: Targets) -> list[Prediction]:
        """Return the most probable label of each row, all rows at once."""
        own = probabilities[:, 0]
        best, most = own.argmax(axis=1).tolist(), own.max(axis=1).tolist()
        return [Prediction(targets.labels[index], share) for index, share in zip(best, most, strict=True)]

    def brier_rows(self, probabilities: np.ndarray, encoded: Sequence[Encoded]) -> np.ndarray:
        """Return the Brier score of each row, all rows at once; to the bit what `brier` returns."""
        import numpy as np

        own, targets = probabilities[:, 0], np.array([row.targets[0] for row in encoded], dtype=np.int64)
        right = np.where(targets >= 0, own[np.arange(len(own)), np.maximum(targets, 0)], 0.0)
        result: np.ndarray = ((own**2).sum(axis=-1) + 1 - 2 * right).astype(float)
        return result

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return 1 for each correct row, 0 for each wrong row."""
        import numpy as np

        truth = rows[self.schema.answer.name].to_numpy()
        result: np.ndarray = (truth == np.asarray(predictions, dtype=object)).astype(float)
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

        truth = rows[self.schema.answer.name].to_numpy(dtype=object)
        classes = sorted(set(truth))
        index_of = {name: index for index, name in enumerate(classes)}
        indices = np.array([index_of[name] for name in truth], dtype=np.int64)
        right = np.bincount(indices, weights=self.row_scores(rows, predictions), minlength=len(classes))
        return classes, np.bincount(indices, minlength=len(classes)), right

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of each label."""
        return scores_by_class(set(enumerate(rows[self.schema.answer.name])), set(enumerate(predictions)))

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the labels."""
        return rows[self.schema.answer.name]

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the labels."""
        return labels

    def read_described(self, described: str) -> Any:
        """Return the label."""
        return described
