"""Token classification: one BIO2 tag for each token, from the state of its first word piece."""

from __future__ import annotations

from collections.abc import Iterable
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
    filler,
    scores_by_class,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase


class TokenClassification(Task):
    """One BIO2 tag for each token, scored by whole entities.

    Only the first piece of a word is trained and read (Devlin et al., 2019, section 5.3). Scores are the
    entity-level ones of CoNLL-2003: a span counts if its boundaries and its type are right.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'tokens': [['anna', 'sings']], 'tags': [['B-PER', 'O']]})
    >>> TokenClassification().row_scores(rows, [['B-PER', 'O']]).tolist()
    [1.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("tokens", ValueKind.WORDS, "The words of a sentence", ["Anna", "lives", "in", "York"]),),
        answer=Column("tags", ValueKind.TAGS, "A BIO2 tag for each word", ["B-PER", "O", "O", "B-LOC"]),
    )
    provides: ClassVar[frozenset[Capability]] = frozenset(Capability)
    metric: ClassVar[str] = "f1"
    row_metric: ClassVar[str] = "mean F1 of a sentence"
    undecided: ClassVar[str] = "no entity occurs or is predicted in its {rows} test rows"
    splits_words: ClassVar[bool] = True
    class_separator: ClassVar[str | None] = " "
    solver: ClassVar[dict[str, Any] | None] = {
        "name": "ranpac",
        "features": 0,
        "layers": 24,
    }  # lower layers know words best

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the tags, O first, with both B and I of every entity type that occurs."""
        types = {tag[2:] for tags in rows["tags"] for tag in tags if tag != "O"}
        return ["O", *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI")]

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise pre-split sentences and put each word's tag on its first piece.

        A word that the tokenizer drops (a zero-width space) becomes the unknown token, so that each word keeps its
        position.
        """
        if rows.empty:
            return []
        sentences = _replace_empty_words([list(tokens) for tokens in rows["tokens"]], tokenizer)
        encoding = tokenizer(sentences, is_split_into_words=True, truncation=True, max_length=max_length)
        index_of = {label: index for index, label in enumerate(labels)}
        wanted = rows["tags"] if "tags" in rows else [None] * len(rows)
        return [
            _align(ids, encoding.word_ids(index), tags, index_of, words=len(sentences[index]))
            for index, (ids, tags) in enumerate(zip(encoding["input_ids"], wanted, strict=True))
        ]

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return the states unchanged: (rows, length, width)."""
        return states

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the tag indices (rows, length)."""
        import torch

        return torch.tensor([row.targets + [IGNORED] * (length - len(row.targets)) for row in batch])

    def decode(self, probabilities: np.ndarray, encoded: Encoded, targets: Targets) -> Prediction:
        """Return a tag for every word; words beyond the model's length are O."""
        anchored = probabilities[encoded.anchors]
        beyond = encoded.context - len(encoded.anchors)
        tags = [targets.labels[index] for index in anchored.argmax(axis=-1)] + ["O"] * beyond
        return Prediction(tags, float(anchored.max(axis=-1).mean()) if len(anchored) else 0.0)

    def row_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> np.ndarray:
        """Return each sentence's entity F1; a sentence without entities is right if none are predicted."""
        import numpy as np

        return np.array(
            [_sentence_f1(entity_spans(t), entity_spans(p)) for t, p in zip(rows["tags"], predictions, strict=True)]
        )

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return micro F1, precision and recall over entities, macro F1 over types, and ``f1/TYPE`` for every type.

        Rows in which no entity occurs and none is predicted decide nothing. Where only predictions have entities, all
        of them are false: F1 and precision are 0, and recall is undecided. Where only the truth has, precision counts
        as 0, so that a model cannot pass by predicting nothing.
        """
        truth, predicted = _entities(rows["tags"]), _entities(predictions)
        if not truth and not predicted:
            return {}
        types = sorted({span[1] for span in truth})
        by_type = {kind: _f1(_only(truth, kind), _only(predicted, kind)) for kind in types}
        return {
            "f1": _f1(truth, predicted),
            "macro_f1": fmean(by_type.values()) if by_type else 0.0,
            "precision": len(truth & predicted) / len(predicted) if predicted else 0.0,
            **({"recall": len(truth & predicted) / len(truth)} if truth else {}),
            **{f"f1/{kind}": value for kind, value in by_type.items()},
        }

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return the F1 of each entity type, over its entities in all rows."""
        scores = self.score(rows, predictions)
        return {name.removeprefix("f1/"): value for name, value in scores.items() if name.startswith("f1/")}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of each entity type, over entities."""
        return scores_by_class(_entities(rows["tags"]), _entities(predictions))

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return the sentences, tokens joined by a space."""
        return rows["tokens"].map(" ".join)

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the entity types of each sentence, sorted and joined by a space; O where there is none."""
        return rows["tags"].map(lambda tags: " ".join(sorted({tag[2:] for tag in tags if tag != "O"})) or "O")

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the entity types, and O."""
        return ["O", *sorted({label[2:] for label in labels if label != "O"})]

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return the entity types: O is no entity."""
        return self.class_names(labels)[1:]

    def describe(self, value: Any) -> str:
        """Return the tags joined by a space."""
        return " ".join(value)


def entity_spans(tags: list[str]) -> set[tuple[str, int, int]]:
    """Return the entities of one sentence as (type, first token, token after the last).

    An I that does not follow a tag of its type opens an entity, as in the CoNLL-2000 evaluation.
    """
    spans, kind, start = set(), None, 0
    for index, tag in enumerate([*tags, "O"]):
        prefix, _, own = tag.partition("-")
        if kind is not None and (prefix != "I" or own != kind):
            spans.add((kind, start, index))
            kind = None
        if kind is None and prefix in ("B", "I"):
            kind, start = own, index
    return spans


def _entities(sentences: Iterable[list[str]]) -> set[tuple[int, str, int, int]]:
    """Return the entities of all sentences, each preceded by the index of its sentence."""
    return {(index, *span) for index, tags in enumerate(sentences) for span in entity_spans(tags)}


def _replace_empty_words(sentences: list[list[str]], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    words = sorted({word for sentence in sentences for word in sentence})
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    empty = {word for word, ids in zip(words, pieces, strict=True) if not ids}
    if not empty:
        return sentences
    unknown = filler(tokenizer)
    return [[unknown if word in empty else word for word in sentence] for sentence in sentences]


def _align(ids: list[int], word_ids: list[int | None], tags: Any, index_of: dict[str, int], *, words: int) -> Encoded:
    targets, anchors = [IGNORED] * len(ids), []
    for position, word in enumerate(word_ids):
        if word is None or (position and word_ids[position - 1] == word):
            continue
        anchors.append(position)
        if tags is not None:
            targets[position] = index_of.get(tags[word], IGNORED)
    return Encoded(ids, targets, anchors, words)


def _f1(truth: set[Any], predicted: set[Any]) -> float:
    return 2 * len(truth & predicted) / (len(truth) + len(predicted))


def _only(entities: set[Any], kind: str) -> set[Any]:
    return {entity for entity in entities if entity[1] == kind}


def _sentence_f1(truth: set[Any], predicted: set[Any]) -> float:
    return _f1(truth, predicted) if truth or predicted else 1.0
