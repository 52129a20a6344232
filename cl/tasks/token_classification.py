"""Token classification: one BIO2 tag for each token, from the state of one of its word pieces."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar

from cl.records import ANNOTATED
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


UNKNOWN = "?"
"""The tag of a word of which nobody has said whether it is part of an entity: it is neither learned nor scored."""
AVERAGES = ("micro avg", "macro avg", "weighted avg")
"""The last lines of a report, as seqeval names them."""


class TokenClassification(Task):
    """One BIO2 tag for each token, scored by whole entities.

    Only the first piece of a word is trained and read (Devlin et al., 2019, section 5.3); of a decoder the last, as its
    first has not seen the rest of the word. Scores are the entity-level ones of CoNLL-2003: a span counts if its
    boundaries and its type are right.

    Where a row says which entity types it is annotated for, nothing is known of others: a word tagged O is learned as O
    only if the model knows no other type, and entities of other types that are predicted are not scored.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'tokens': [['anna', 'sings']], 'tags': [['B-PER', 'O']]})
    >>> TokenClassification().row_scores(rows, [['B-PER', 'O']]).tolist()
    [1.0]
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(Column("tokens", ValueKind.WORDS, "The words of a sentence", ["Anna", "lives", "in", "York"]),),
        answer=Column("tags", ValueKind.TAGS, "A BIO2 tag for each word", ["B-PER", "O", "O", "B-LOC"]),
    )
    provides: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.LABELS,
            Capability.PROBABILITIES,
            Capability.EMBEDDINGS,
            Capability.LINEAR_HEAD,
            Capability.ENCODER,
            Capability.TOKENS,
        }
    )
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
        types = {tag[2:] for tags in rows["tags"] for tag in tags if tag not in ("O", UNKNOWN)}
        return ["O", *(f"{prefix}-{kind}" for kind in sorted(types) for prefix in "BI")]

    def encode(
        self,
        rows: pd.DataFrame,
        tokenizer: PreTrainedTokenizerBase,
        labels: list[str],
        *,
        max_length: int,
        last_piece: bool = False,
    ) -> list[Encoded]:
        """Tokenise pre-split sentences and put each word's tag on its first piece, or on its last.

        A word that the tokenizer drops (a zero-width space) becomes the unknown token, so that each word keeps its
        position.
        """
        if rows.empty:
            return []
        sentences = _replace_empty_words([list(tokens) for tokens in rows["tokens"]], tokenizer)
        encoding = tokenizer(sentences, is_split_into_words=True, truncation=True, max_length=max_length)
        index_of = {label: index for index, label in enumerate(labels)}
        wanted = _known_tags(rows, set(self.class_names(labels)[1:])) if "tags" in rows else [None] * len(rows)
        return [
            _align(ids, _read_at(encoding.word_ids(index), last=last_piece), tags, index_of, len(sentences[index]))
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
            [
                _sentence_f1(entity_spans(truth), _of_types(entity_spans(predicted), types))
                for truth, predicted, types in zip(rows["tags"], predictions, annotated_types(rows), strict=True)
            ]
        )

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return micro F1, precision and recall over entities, macro F1 over types, and ``f1/TYPE`` for every type.

        Rows in which no entity occurs and none is predicted decide nothing. Where only predictions have entities, all
        of them are false: F1 and precision are 0, and recall is undecided. Where only the truth has, precision counts
        as 0, so that a model cannot pass by predicting nothing.
        """
        truth, predicted = _entities(rows["tags"]), _entities(predictions, annotated_types(rows))
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
        return scores_by_class(_entities(rows["tags"]), _entities(predictions, annotated_types(rows)))

    def report(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return the scores of each entity type and their averages, as seqeval reports them for CoNLL-2003.

        The micro average counts all entities together; the macro average is the mean over the types, the weighted one
        that mean with each type counted as often as it has entities.
        """
        truth, predicted = _entities(rows["tags"]), _entities(predictions, annotated_types(rows))
        types = sorted({span[1] for span in truth | predicted})
        table = {kind: _counted(_only(truth, kind), _only(predicted, kind)) for kind in types}
        if not table:
            return {}
        shares = [scores["count"] / max(1, len(truth)) for scores in table.values()]
        means = {
            "macro avg": [1 / len(table)] * len(table),
            "weighted avg": shares,
        }
        averages = {
            name: {
                "count": float(len(truth)),
                **{
                    metric: sum(share * scores[metric] for share, scores in zip(weights, table.values(), strict=True))
                    for metric in ("precision", "recall", "f1")
                },
            }
            for name, weights in means.items()
        }
        return {**table, "micro avg": _counted(truth, predicted), **averages}

    def texts(self, rows: pd.DataFrame) -> pd.Series:
        """Return the sentences, tokens joined by a space."""
        return rows["tokens"].map(" ".join)

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the entity types of each sentence, sorted and joined by a space; O where there is none."""
        import pandas as pd

        types = [
            {tag[2:] for tag in tags if tag not in ("O", UNKNOWN)}
            & ({tag[2:] for tag in tags} if known is None else known)
            for tags, known in zip(rows["tags"], annotated_types(rows), strict=True)
        ]
        return pd.Series([" ".join(sorted(own)) or "O" for own in types], index=rows.index, dtype=object)

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


def annotated_types(rows: pd.DataFrame) -> list[frozenset[str] | None]:
    """Return the entity types that each row is annotated for; None: all."""
    if ANNOTATED not in rows:
        return [None] * len(rows)
    cells = rows[ANNOTATED].tolist()  # of rows that were read together, some may have no such column
    return [None if cell is None or isinstance(cell, float) else frozenset(cell) for cell in cells]


def _known_tags(rows: pd.DataFrame, learned: set[str]) -> list[list[str]]:
    """Return the tags of each row, unknown ones where an O may be an entity of a learned type not annotated there."""
    return [
        [UNKNOWN if tag == "O" else tag for tag in tags] if types is not None and learned - types else tags
        for tags, types in zip(rows["tags"], annotated_types(rows), strict=True)
    ]


def _of_types(spans: set[tuple[str, int, int]], types: frozenset[str] | None) -> set[tuple[str, int, int]]:
    return spans if types is None else {span for span in spans if span[0] in types}


def _entities(
    sentences: Iterable[list[str]], types: Sequence[frozenset[str] | None] | None = None
) -> set[tuple[int, str, int, int]]:
    """Return the entities of all sentences, of the given types, each preceded by the index of its sentence."""
    return {
        (index, *span)
        for index, tags in enumerate(sentences)
        for span in _of_types(entity_spans(tags), types[index] if types else None)
    }


def _replace_empty_words(sentences: list[list[str]], tokenizer: PreTrainedTokenizerBase) -> list[list[str]]:
    words = sorted({word for sentence in sentences for word in sentence})
    pieces = tokenizer(words, add_special_tokens=False)["input_ids"] if words else []
    empty = {word for word, ids in zip(words, pieces, strict=True) if not ids}
    if not empty:
        return sentences
    unknown = filler(tokenizer)
    return [[unknown if word in empty else word for word in sentence] for sentence in sentences]


def _read_at(word_ids: list[int | None], *, last: bool) -> list[tuple[int, int]]:
    """Return the position at which each word is read, and the word: its first piece, or the last that is not cut."""
    neighbours = [*word_ids, None][1:] if last else [None, *word_ids][:-1]
    return [
        (position, word)
        for position, (word, neighbour) in enumerate(zip(word_ids, neighbours, strict=True))
        if word is not None and word != neighbour
    ]


def _align(ids: list[int], read: list[tuple[int, int]], tags: Any, index_of: dict[str, int], words: int) -> Encoded:
    targets, unscored = [IGNORED] * len(ids), set[int]()
    for position, word in read if tags is not None else []:
        targets[position] = index_of.get(tags[word], IGNORED)
        if tags[word] == UNKNOWN:
            unscored.add(position)
    return Encoded(ids, targets, [position for position, _ in read], words, frozenset(unscored))


def _f1(truth: set[Any], predicted: set[Any]) -> float:
    return 2 * len(truth & predicted) / (len(truth) + len(predicted))


def _counted(truth: set[Any], predicted: set[Any]) -> dict[str, float]:
    right = len(truth & predicted)
    return {
        "count": float(len(truth)),
        "precision": right / len(predicted) if predicted else 0.0,
        "recall": right / len(truth) if truth else 0.0,
        "f1": _f1(truth, predicted),
    }


def _only(entities: set[Any], kind: str) -> set[Any]:
    return {entity for entity in entities if entity[1] == kind}


def _sentence_f1(truth: set[Any], predicted: set[Any]) -> float:
    return _f1(truth, predicted) if truth or predicted else 1.0
