"""Multi-label classification: any number of labels for each text, from the mean of the encoder's states."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from cl.tasks import (
    BETWEEN_LABELS,
    IGNORED,
    NONE_APPLIES,
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

MIDDLE = 0.5
"""From this probability on a label is answered that has no threshold."""
ENOUGH_ROWS = 10
"""Validation rows with a label from which on it has a threshold of its own."""


class MultiLabelClassification(Task):
    """Any number of labels for each text, each with a probability of its own.

    The loss is the binary cross-entropy, a mean over rows and labels. A row says of every label that it applies or
    does not: one that the row does not name does not apply to it. A label is answered from its threshold on, which
    maximises its F1 on validation rows (Lewis et al., 2004, "RCV1", section 5: SCut); a label with fewer than ten of
    them has the threshold that maximises micro F1 over all labels.

    The confidence of an answer is the F1 that the model expects of it: twice the probabilities of the answered labels,
    over the number of answered labels and the sum of all probabilities; where no label is answered, the probability
    that none applies.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'labels': [['fee', 'loan'], []]})
    >>> MultiLabelClassification().row_scores(rows, [['fee'], []]).round(3).tolist()
    [0.667, 1.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("text", ValueKind.TEXT, "The text", "where is my parcel, and what does it cost?"),),
        answer=Column("labels", ValueKind.LABELS, "The labels that apply, if any", ["parcel_status", "price"]),
    )
    provides: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.LABELS, Capability.EMBEDDINGS, Capability.LINEAR_HEAD, Capability.ENCODER}
    )
    metric: ClassVar[str] = "micro_f1"
    row_metric: ClassVar[str] = "mean F1 of a text's labels"
    undecided: ClassVar[str] = "no label applies to any of its {rows} test rows, and none is predicted"
    first_logit: ClassVar[float] = -3.0
    class_separator: ClassVar[str | None] = BETWEEN_LABELS

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the labels that apply to a row, sorted."""
        return sorted({label for labels in rows["labels"] if _is_known(labels) for label in labels})

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise texts; the context is the number of labels, and of the row's own that are not among them."""
        ids = text_ids(list(rows["text"]), tokenizer, max_length=max_length)
        index_of = {label: index for index, label in enumerate(labels)}
        answers = rows["labels"] if "labels" in rows else [None] * len(rows)
        return [_encode(row, answer, index_of) for row, answer in zip(ids, answers, strict=True)]

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return (rows, labels): 1 where a label applies, 0 where not, -100 in a row without an answer."""
        return self.flat_targets(batch)

    def flat_targets(self, encoded: list[Encoded]) -> torch.Tensor:
        """Return (rows, labels), as `targets` does."""
        import torch

        labels = encoded[0].context[0] if encoded else 0
        targets = torch.zeros(len(encoded), labels, dtype=torch.int8)
        for row, own in zip(targets, encoded, strict=True):
            (applying,) = own.targets
            if applying == IGNORED:
                row.fill_(IGNORED)
            else:
                row[list(applying)] = 1
        return targets

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return (rows, width): each text's states, pooled."""
        return pool(states, batch.mask)

    def loss(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None, *, summed: bool = False
    ) -> torch.Tensor:
        """Return the mean binary cross-entropy over rows and labels, that of each row times its weight (rows,)."""
        import torch

        known, wanted = targets != IGNORED, targets.clamp(min=0).float()
        terms = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none") * known
        total = (terms if weights is None else terms * weights[:, None]).sum()
        return total if summed else total / known.sum().clamp(min=1)

    def draw_targets(self, logits: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return each label drawn with the model's own probability, -100 where the given one is."""
        import torch

        drawn = torch.bernoulli(logits.detach().float().sigmoid(), generator=generator).to(targets)
        return torch.where(targets == IGNORED, targets, drawn)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probability of each label, whatever those of the others."""
        return logits.sigmoid()

    def by_row(self, values: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Split (rows, ...) into rows of (1, ...); one without an answer has none."""
        known = (targets != IGNORED).any(-1).long().tolist()
        return [own[:positions] for own, positions in zip(values.unsqueeze(1), known, strict=True)]

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Return the labels whose probability reaches their threshold, sorted, and the F1 to expect."""
        import numpy as np

        own = probabilities[0].astype(np.float64)
        answered = own >= _limits(targets)
        names = sorted(targets.labels[index] for index in answered.nonzero()[0])
        return Prediction(names, _expected_f1(own, answered))

    def brier(self, probabilities: np.ndarray, encoded: Encoded) -> float:
        """Return twice the mean squared distance over labels, 0 to 2: that of "applies" and "does not apply".

        A label that the learner does not know counts as probability 0.
        """
        import numpy as np

        (applying,), (labels, unknown) = encoded.targets, encoded.context
        if applying == IGNORED or not labels:
            return 0.0
        wanted = np.zeros(labels)
        wanted[list(applying)] = 1.0
        return float(2 * (((probabilities[0] - wanted) ** 2).sum() + unknown) / (labels + unknown))

    def thresholds(self, rows: pd.DataFrame, probabilities: np.ndarray, labels: list[str]) -> list[float] | None:
        """Return the threshold with the highest F1 of each label, and the common one for labels with few rows.

        None if no row has any of the labels: then 1/2 is the threshold of all.
        """
        known = [index for index, answer in enumerate(rows["labels"]) if _is_known(answer)]
        truth, own = _indicators(rows["labels"].iloc[known], labels), probabilities[known]
        if not truth.any():
            return None
        common = best_threshold(own.ravel(), truth.ravel())
        counts = truth.sum(axis=0)
        return [
            best_threshold(own[:, index], truth[:, index]) if count >= ENOUGH_ROWS else common
            for index, count in enumerate(counts)
        ]

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return the F1 of each row's labels; a row without labels is right if none are predicted."""
        import numpy as np

        return np.array([_f1(set(t), set(p)) for t, p in zip(rows["labels"], predictions, strict=True)], dtype=float)

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return micro F1 over pairs of a row and its label, macro F1 over labels, and the shares of what is right.

        Macro F1 is the mean over the labels that occur in the rows. ``subset_accuracy`` is the share of rows whose
        labels are all right and none too many; ``hamming_accuracy`` that of right decisions on a row and a label, over
        the labels that occur in the rows or the predictions: 1 less the Hamming loss. Where no label occurs at all,
        only subset accuracy is decided.
        """
        if rows.empty:
            return {}
        truth, predicted = _pairs(rows["labels"]), _pairs(predictions)
        exact = [set(t) == set(p) for t, p in zip(rows["labels"], predictions, strict=True)]
        scores = {"subset_accuracy": fmean(exact)}
        if not truth and not predicted:
            return scores
        by_label = self.class_scores(rows, predictions)
        decisions = len(rows) * len({label for _, label in truth | predicted})
        return {
            "micro_f1": _f1(truth, predicted),
            "macro_f1": fmean(by_label.values()) if by_label else 0.0,
            **scores,
            "hamming_accuracy": 1 - len(truth ^ predicted) / decisions,
        }

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the F1 of each label, over all rows."""
        return {name: scores["f1"] for name, scores in self.per_class(rows, predictions).items()}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of each label."""
        return scores_by_class(_pairs(rows["labels"]), _pairs(predictions))

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return the texts."""
        return rows["text"]

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the labels of each row, sorted and joined; "(no label)" where none applies.

        A bar in a name becomes a slash, so that the names can be split again.
        """
        return rows["labels"].map(_class_of).astype(object)

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the labels, and the class of rows without any."""
        return [NONE_APPLIES, *map(_written, labels)]

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return the labels."""
        return labels


def best_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the probability from which on to answer so that F1 is highest, in the middle between two rows.

    Of several, it is the highest.

    >>> import numpy as np
    >>> best_threshold(np.array([0.1, 0.3, 0.5, 0.9]), np.array([False, True, False, True]))
    0.2
    """
    import numpy as np

    order = np.argsort(-probabilities, kind="stable")
    ranked, right = probabilities[order].astype(np.float64), np.cumsum(truth[order])
    lower = np.append(ranked[1:], 0.0)
    scores = 2 * right / (np.arange(1, len(ranked) + 1) + right[-1])
    best = int(np.where(ranked > lower, scores, -1.0).argmax())
    return float((ranked[best] + lower[best]) / 2)


def _encode(ids: list[int], answer: Any, index_of: dict[str, int]) -> Encoded:
    if not _is_known(answer):
        return Encoded(ids, [IGNORED], [0], (len(index_of), 0))
    names = set(answer)
    applying = tuple(sorted(index_of[name] for name in names if name in index_of))
    return Encoded(ids, [applying], [0], (len(index_of), len(names) - len(applying)))


def _is_known(answer: Any) -> bool:
    """Return whether a cell holds a list of labels, be it empty: what is missing is None or NaN."""
    return answer is not None and not isinstance(answer, float)


def _limits(targets: Targets) -> np.ndarray:
    """Return the threshold of each label; one that was added since thresholds were chosen has 1/2."""
    import numpy as np

    limits, chosen = np.full(len(targets.labels), MIDDLE), targets.thresholds or ()
    limits[: len(chosen)] = chosen
    return limits


def _expected_f1(probabilities: np.ndarray, answered: np.ndarray) -> float:
    """Return the F1 to expect of an answer, by the expected counts of right, answered and applying labels."""
    if not answered.any():
        return float((1 - probabilities).prod())
    return float(2 * probabilities[answered].sum() / (answered.sum() + probabilities.sum()))


def _indicators(answers: pd.Series, labels: list[str]) -> np.ndarray:
    """Return whether each label applies to each row (rows, labels)."""
    import numpy as np

    index_of = {label: index for index, label in enumerate(labels)}
    truth = np.zeros((len(answers), len(labels)), dtype=bool)
    for row, answer in zip(truth, answers, strict=True):
        row[[index_of[name] for name in answer if name in index_of]] = True
    return truth


def _pairs(answers: Iterable[Any]) -> set[tuple[int, str]]:
    """Return a pair for each row and each of its labels."""
    return {(row, str(label)) for row, answer in enumerate(answers) for label in answer}


def _f1(truth: set[Any], predicted: set[Any]) -> float:
    return 2 * len(truth & predicted) / (len(truth) + len(predicted)) if truth or predicted else 1.0


def _written(label: str) -> str:
    return label.replace("|", "/")


def _class_of(answer: Any) -> str:
    return BETWEEN_LABELS.join(sorted(map(_written, answer))) or NONE_APPLIES
