"""Task types, one file each: columns, targets, features, decoding and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from cl.plugins import Capability, Plugin
from cl.records import Score
from cl.tasks._answers import as_one_line, class_of
from cl.tasks._schema import Schema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

IGNORED = -100


@dataclass(frozen=True)
class Encoded:
    """One tokenised row.

    ``targets`` has one entry for each prediction: the index of its label, or, where any number of labels may apply, the
    tuple of their indices (-100: ignored). For tokens it is the tag of each word piece. ``anchors`` are the positions
    whose predictions count: for tokens, one piece of each word. ``context`` is what else the task needs of the row, to
    collate it or to turn probabilities into an answer. Nobody has said what is right at the ``unscored`` anchors.
    """

    input_ids: list[int]
    targets: list[Any]
    anchors: list[int]
    context: Any = None
    unscored: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Batch:
    """One padded batch: ``input_ids`` and ``mask`` are (rows, length), ``rows`` their indices.

    ``weights`` (rows,) multiply the loss of each row, in training; None: every row counts once. ``extras`` are further
    tensors of the task's own.
    """

    input_ids: torch.Tensor
    mask: torch.Tensor
    targets: torch.Tensor
    rows: list[int]
    weights: torch.Tensor | None = None
    extras: dict[str, torch.Tensor] = field(default_factory=dict)


Pooling = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
"""Returns one vector for each row (rows, width), from states (rows, length, width) and the mask of real tokens."""


@dataclass(frozen=True)
class Targets:
    """What a model can answer: its labels, in the order of its outputs.

    ``thresholds`` are probabilities from which a label is answered, for tasks where a row may have several.
    """

    labels: list[str]
    thresholds: Sequence[float] | None = None


@dataclass(frozen=True)
class Prediction:
    """One row's prediction: a label, a tag for each token, or what was written, and its probability.

    ``cut`` says whether what was written reached the most tokens of an answer before it ended.
    """

    value: Any
    confidence: float
    cut: bool = field(default=False, kw_only=True)


class Task(Plugin):
    """Base of all task types: the schema of its rows, and what its models can do for plug-ins."""

    schema: ClassVar[Schema]  # type: ignore[assignment]  # pydantic has a retired method of this name
    provides: ClassVar[frozenset[Capability]]
    metric: ClassVar[str]
    row_metric: ClassVar[str] = "row score"
    """What the mean of `row_scores` is called."""
    undecided: ClassVar[str] = "none of its {rows} test rows decides a score"
    """Why there may be no main score although there are rows; ``{rows}`` is how many."""
    splits_words: ClassVar[bool] = False
    """Whether rows come as words, each of which must be found among the tokenizer's pieces.

    `encode` of a task that answers each word takes ``last_piece`` as well: whether it is read at its last piece.
    """
    first_logit: ClassVar[float] = 0.0
    """What the logits of a label are close to before it is learned."""
    class_separator: ClassVar[str | None] = None
    """What `classes` puts between the classes of a row that has several; None: each row has one."""

    defaults: ClassVar[Mapping[str, Any]] = {}
    """What a configuration that does not say has in other sections, where the usual defaults do not suit the task."""

    solver: ClassVar[dict[str, Any] | None] = {"name": "ranpac"}
    """The strategy that solves best for a head over frozen features, by default; None: there is no such head."""

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the labels that the rows use, sorted: classes, or BIO2 tags."""
        raise NotImplementedError

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise rows; a target that is missing or not among ``labels`` is -100 and ignored in training."""
        raise NotImplementedError

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return a batch's targets in the shape that `loss` reads; by default that of the logits without the labels."""
        raise NotImplementedError

    def flat_targets(self, encoded: list[Encoded]) -> torch.Tensor:
        """Return the targets of all positions of rows, one after the other, with those that are -100.

        By default (positions,), the index of each one's label; for a task in which any number of labels may apply,
        (positions, labels) with 1 where a label does and 0 where it does not.
        """
        import torch

        return torch.tensor([target for row in encoded for target in row.targets], dtype=torch.int64)

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return further tensors of a batch, which `features` or `limit` reads."""
        return {}

    def feature_width(self, width: int) -> int:
        """Return the size of the vectors of `features`, for an encoder whose states have a given width."""
        return width

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Turn the encoder's states (rows, length, width) into the head's input, one vector for each prediction."""
        raise NotImplementedError

    def limit(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the logits with those of impossible answers lowered; by default every answer is possible."""
        return logits

    def loss(
        self, logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None, *, summed: bool = False
    ) -> torch.Tensor:
        """Return the mean loss over all targets other than -100, that of each row times its weight (rows,).

        By default the cross-entropy of the labels. Without such a target it is 0, and so are its gradients.

        Args:
            logits: (rows, ..., labels).
            targets: as `targets` returns them.
            weights: None: every row counts once.
            summed: return the sum in place of the mean.
        """
        import torch

        flat, wanted = logits.flatten(0, -2).float(), targets.flatten()
        if not bool((wanted != IGNORED).any()):
            return flat.sum() * 0.0
        if weights is None:
            reduction = "sum" if summed else "mean"
            return torch.nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction=reduction)
        terms = torch.nn.functional.cross_entropy(flat, wanted, ignore_index=IGNORED, reduction="none")
        total = (terms.view(len(weights), -1).sum(1) * weights).sum()
        return total if summed else total / (wanted != IGNORED).sum()

    def draw_targets(self, logits: torch.Tensor, targets: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return targets drawn from the model's own answers, -100 where the given ones are."""
        import torch

        drawn = torch.multinomial(logits.detach().softmax(-1).flatten(0, -2), 1, generator=generator)
        return torch.where(targets == IGNORED, targets, drawn.view_as(targets))

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities behind logits (..., labels); by default they add up to one over the labels."""
        return logits.softmax(-1)

    def by_row(self, values: torch.Tensor, targets: torch.Tensor) -> list[torch.Tensor]:
        """Split a batch's logits or features into rows of (predictions, ...), without positions that have no target."""
        if targets.ndim == 1:
            values, targets = values.unsqueeze(1), targets.unsqueeze(1)
        return [own[wanted != IGNORED] for own, wanted in zip(values, targets, strict=True)]

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Turn one row's probabilities (positions, labels) into a prediction of the task."""
        raise NotImplementedError

    def decode_rows(self, probabilities: np.ndarray, encoded: Sequence[Encoded], targets: Targets) -> list[Prediction]:
        """Turn the probabilities of several rows (rows, positions, labels) into predictions, as `decode` does."""
        return [self.decode(own, row, targets) for own, row in zip(probabilities, encoded, strict=True)]

    def brier_rows(self, probabilities: np.ndarray, encoded: Sequence[Encoded]) -> np.ndarray:
        """Return the score of `brier` of several rows, whose probabilities are (rows, positions, labels)."""
        import numpy as np

        return np.array([self.brier(own, row) for own, row in zip(probabilities, encoded, strict=True)])

    def brier(self, probabilities: np.ndarray, encoded: Encoded) -> float:
        """Return the squared distance of probabilities (positions, labels) from the truth (Brier, 1950), 0 to 2.

        It is the mean over the row's predictions: one for a text, one for each word read for a sentence. A target that
        the learner does not know counts as probability 0.
        """
        import numpy as np

        anchors = [position for position in encoded.anchors if position not in encoded.unscored]
        if not anchors:
            return 0.0
        anchored, targets = probabilities[anchors], np.array(encoded.targets)[anchors]
        right = np.where(targets >= 0, anchored[np.arange(len(anchored)), np.maximum(targets, 0)], 0.0)
        return float(((anchored**2).sum(axis=-1) + 1 - 2 * right).mean())

    def thresholds(self, rows: pd.DataFrame, probabilities: np.ndarray, labels: list[str]) -> list[float] | None:
        """Return the probability from which each label is answered, chosen on validation rows; None: there is none.

        Args:
            rows: validation rows.
            probabilities: of each row and label (rows, labels).
            labels: in the order of the probabilities.
        """
        return None

    @property
    def score_name(self) -> str:
        """The name of the main metric among those of `score`."""
        return self.metric

    @property
    def reads_answers(self) -> bool:
        """Whether a model that writes is scored by how probable it holds the true answers, without writing any."""
        return False

    @property
    def measures_texts(self) -> bool:
        """Whether rows bring no answer: a model says how probable it holds their texts."""
        return False

    def rate(self, encoded: Encoded, loss: float) -> Prediction:
        """Return the answer to a row that a language model has read, not written.

        Args:
            encoded: the row.
            loss: the mean negative log-likelihood of its targets, in nats.
        """
        raise NotImplementedError

    def general_rows(self, texts: list[str]) -> pd.DataFrame:
        """Return general texts as rows that a language model learns as they are."""
        raise NotImplementedError

    @property
    def most_new_tokens(self) -> int:
        """The most tokens of an answer that a model writes; 0: its answers are not written."""
        return 0

    @property
    def no_answer(self) -> str | None:
        """The label that says that a row has none of the others; None: there is no such label."""
        return None

    @property
    def has_thresholds(self) -> bool:
        """Whether labels are answered from a threshold on, which validation rows decide."""
        return type(self).thresholds is not Task.thresholds

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return the score of each row, 0 to 1, which gates resample and detectors compare."""
        raise NotImplementedError

    def counts(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, np.ndarray]:
        """Return what adds up to further scores of all rows together: name -> counts (rows, counts); {}: no such score.

        The names are those of `SCORE_OF_SUMS`; gates resample the rows without reading their texts again.
        """
        return {}

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the task's metrics over rows, 0 to 1; the main metric is named `score_name`.

        A metric that the rows cannot decide is left out: it is neither 0 nor 1.
        """
        raise NotImplementedError

    def main_score(self, rows: pd.DataFrame, predictions: list[Any]) -> float | None:
        """Return the main metric over rows; None: the rows cannot decide it."""
        return self.score(rows, predictions).get(self.score_name)

    def score_experience(self, experience: str, rows: pd.DataFrame, predictions: list[Any]) -> Score:
        """Return the score on an experience's test rows; if they cannot decide it, why."""
        metrics = self.score(rows, predictions)
        value, why = metrics.get(self.score_name), ""
        if value is None:
            why = self.undecided.format(rows=len(rows)) if len(rows) else "it has no test rows"
        return Score(experience=experience, rows=len(rows), value=value, metrics=metrics, undecided=why)

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the score of each class that occurs in the rows, 0 to 1; gates use the worst one."""
        raise NotImplementedError

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class that occurs in the rows."""
        raise NotImplementedError

    def report(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return ``count``, ``precision``, ``recall`` and ``f1`` of each class and of their averages, for people.

        Classes that are only predicted are among them. By default there is no such report.
        """
        return {}

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return each row's text as one string, for descriptors and reports; by default its inputs that are read."""
        read = [column for column in self.schema.inputs if column.kind.is_read]
        first, *others = (rows[column.name].map(partial(as_one_line, column.kind)) for column in read)
        for texts in others:
            first = first + " " + texts
        return first

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return one class name for each row, for the label mix, balanced buffers and drift."""
        return rows[self.schema.answer.name].map(partial(class_of, self.schema.answer.kind))

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the class names behind the head's labels, as `classes` formats them."""
        raise NotImplementedError

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return the classes among `class_names` that `per_class` scores."""
        return self.class_names(labels)

    def describe(self, value: Any) -> str:
        """Return a prediction or target as one string for a table."""
        return as_one_line(self.schema.answer.kind, value)

    def read_described(self, described: str) -> Any:
        """Return the prediction that `describe` has described; None: that does not tell."""
        return None


def known_positions(targets: torch.Tensor) -> torch.Tensor:
    """Return for each position whether it has a target (positions,), for targets as of `Task.flat_targets`."""
    known = targets != IGNORED
    return known if targets.ndim == 1 else known.any(-1)


def text_ids(texts: list[str], tokenizer: PreTrainedTokenizerBase, *, max_length: int) -> list[list[int]]:
    """Return the tokens of texts; one of which the tokenizer leaves nothing becomes the unknown token."""
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(texts, truncation=True, max_length=max_length, padding=False)["input_ids"]
    if not all(ids):
        unknown = int(tokenizer.convert_tokens_to_ids(filler(tokenizer)))  # type: ignore[arg-type]
        ids = [row_ids or [unknown] for row_ids in ids]
    return ids


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
