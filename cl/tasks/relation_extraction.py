"""Relation extraction: the relation between two marked parts of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.tasks import Batch, Column, Encoded, Pooling, Schema, ValueKind, filler
from cl.tasks._single_label import SingleLabel

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

MARKERS = ("@", "#")
"""What stands around head and tail: characters that every vocabulary has."""
OUTSIDE, HEAD, TAIL = 0, 1, 2
"""Bits of the parts to which a word belongs."""


class RelationExtraction(SingleLabel):
    """One relation for each pair of spans.

    The spans are marked in the text by punctuation, which needs no new tokens (Zhou and Chen, 2022, "An improved
    baseline for sentence-level relation extraction", section 3.2). The head reads the mean state of each span (Baldini
    Soares et al., 2019, section 3.2, "mention pooling", with means for maxima) and the pooled state of the whole text.
    A text that is too long is cut around the spans.

    With ``no_relation``, F1 does not count pairs rightly said to have none, as TACRED's does.

    >>> import pandas as pd
    >>> rows = pd.DataFrame({'relation': ['owns', 'none', 'none']})
    >>> RelationExtraction(no_relation='none').score(rows, ['owns', 'owns', 'none'])['micro_f1']
    0.6666666666666666
    """

    schema: ClassVar[Schema] = Schema(
        inputs=(
            Column("text", ValueKind.TEXT, "The text", "Anna founded Acme in York."),
            Column("head", ValueKind.SPAN, "Where the first of the two is: start and end", [0, 4]),
            Column("tail", ValueKind.SPAN, "Where the second is: start and end", [13, 17]),
        ),
        answer=Column("relation", ValueKind.LABEL, "The relation of the first to the second", "founder_of"),
        split_by=("text",),
    )
    metric: ClassVar[str] = "micro_f1"
    splits_words: ClassVar[bool] = True

    no_relation: str | None = Field(
        None, description="Relation that says that there is none; null: there always is one"
    )

    @property
    def no_answer(self) -> str | None:
        """The relation that says that there is none."""
        return self.no_relation

    def encode(
        self, rows: pd.DataFrame, tokenizer: PreTrainedTokenizerBase, labels: list[str], *, max_length: int
    ) -> list[Encoded]:
        """Tokenise texts with both spans marked."""
        if rows.empty:
            return []
        unknown = filler(tokenizer)
        marked = [
            _mark(text, head, tail) for text, head, tail in zip(rows["text"], rows["head"], rows["tail"], strict=True)
        ]
        words = [[word.text or unknown for word in row] for row in marked]
        encoding = tokenizer(words, is_split_into_words=True, truncation=False, verbose=False)
        indices = self.label_indices(rows, labels)
        return [
            _encode(ids, encoding.word_ids(index), marked[index], target, max_length)
            for index, (ids, target) in enumerate(zip(encoding["input_ids"], indices, strict=True))
        ]

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return ``head`` and ``tail``, which say what tokens belong to each span (rows, length)."""
        import torch

        return {
            name: torch.tensor([[int(bool(part & bit)) for part in _padded(row.context, length)] for row in batch])
            for name, bit in (("head", HEAD), ("tail", TAIL))
        }

    def feature_width(self, width: int) -> int:
        """Return the width of three states."""
        return 3 * width

    def features(self, states: torch.Tensor, batch: Batch, pool: Pooling) -> torch.Tensor:
        """Return (rows, 3 * width): the mean state of the head, that of the tail, and the pooled text."""
        import torch

        means = [_mean(states, batch.extras[name]) for name in ("head", "tail")]
        return torch.cat([*means, pool(states, batch.mask)], dim=-1)

    def score(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return micro F1, precision and recall over pairs with a relation, and what `SingleLabel.score` returns.

        Without a relation that says that there is none, all three are the accuracy.
        """
        scores = super().score(rows, predictions)
        truth = rows["relation"].tolist()
        right = sum(t == p != self.no_relation for t, p in zip(truth, predictions, strict=True))
        actual, said = (sum(value != self.no_relation for value in values) for values in (truth, predictions))
        if not actual + said:
            return {name: value for name, value in scores.items() if name != self.metric}
        return {
            "micro_f1": 2 * right / (actual + said),
            "precision": right / said if said else 0.0,
            **({"recall": right / actual} if actual else {}),
            **scores,
        }


@dataclass(frozen=True)
class _Word:
    """A word of a marked text, and to which parts it belongs; markers belong to none."""

    text: str
    part: int = OUTSIDE


def _mark(text: str, head: Sequence[int], tail: Sequence[int]) -> list[_Word]:
    """Return the words of a text with its spans marked; spans may overlap."""
    spans = ((head, HEAD, MARKERS[0]), (tail, TAIL, MARKERS[1]))
    edges = sorted({0, len(text), *(int(edge) for span, _, _ in spans for edge in span)})
    words = list[_Word]()
    for start, end in zip(edges, [*edges[1:], len(text)], strict=True):
        words += [_Word(marker) for span, _, marker in spans if span[1] == start]
        words += [_Word(marker) for span, _, marker in spans if span[0] == start]
        part = sum(bit for span, bit, _ in spans if span[0] <= start < span[1])
        words += [_Word(word, part) for word in text[start:end].split()]
    return words


def _encode(ids: list[int], word_ids: list[int | None], words: list[_Word], target: int, most: int) -> Encoded:
    """Return a row's tokens, at most so many, and to which parts each belongs."""
    parts = [OUTSIDE if word is None else words[word].part for word in word_ids]
    kept = _around_spans(parts, [word is None for word in word_ids], most)
    return Encoded([ids[index] for index in kept], [target], [0], [parts[index] for index in kept])


def _around_spans(parts: list[int], is_special: list[bool], most: int) -> list[int]:
    """Return the positions that stay if only so many may: special tokens, and the text around and between the spans."""
    if len(parts) <= most:
        return list(range(len(parts)))
    text = [index for index, special in enumerate(is_special) if not special]
    inside = [order for order, index in enumerate(text) if parts[index]] or [0]
    room = max(1, most - (len(parts) - len(text)))
    middle = (inside[0] + inside[-1] + 1) // 2
    start = max(0, min(middle - room // 2, len(text) - room))
    kept = set(text[start : start + room])
    return [index for index, special in enumerate(is_special) if special or index in kept]


def _padded(parts: list[int], length: int) -> list[int]:
    return parts + [OUTSIDE] * (length - len(parts))


def _mean(states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean state over the positions of a mask (rows, width); zero where there are none."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
