"""Pairs of spans in bare texts: the entities that a tagger finds, and which two of them are asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from cl.config.pipeline import PipelineSettings
from cl.tasks import Schema, ValueKind, token_offsets
from cl.tasks.token_classification import entity_spans

if TYPE_CHECKING:
    from cl.models.learner import Learner


@dataclass(frozen=True)
class TextSpan:
    """A part of a text: its first character, the one after its last, and the type of entity."""

    start: int
    end: int
    kind: str

    def described(self, text: str) -> dict[str, Any]:
        """Return it as JSON shows it, with its words."""
        return {"start": self.start, "end": self.end, "text": text[self.start : self.end], "type": self.kind}


@dataclass(frozen=True)
class SpanPair:
    """Two spans of a text, in the order in which their relation is asked for."""

    head: TextSpan
    tail: TextSpan

    @property
    def gap(self) -> int:
        """The characters between the two; 0 where they overlap."""
        return max(0, self.tail.start - self.head.end, self.head.start - self.tail.end)

    def inputs(self, text: str, schema: Schema) -> dict[str, Any]:
        """Return the row of inputs that asks for their relation, by the names of a task's columns."""
        spans = iter([[self.head.start, self.head.end], [self.tail.start, self.tail.end]])
        return {column.name: next(spans) if column.kind is ValueKind.SPAN else text for column in schema.inputs}


@dataclass(frozen=True)
class PairFinder:
    """Finds the pairs of spans in bare texts.

    ``tagger`` is the version that finds the spans, NAME@VERSION; ``tag`` returns its tags for sentences in words.
    """

    tagger: str
    tag: Callable[[list[list[str]]], list[list[str]]]
    settings: PipelineSettings

    def pairs(self, texts: Sequence[str]) -> list[list[SpanPair]]:
        """Return the pairs of each text, those closest to each other first."""
        offsets = [token_offsets(text) for text in texts]
        sentences = [[text[start:end] for start, end in own] for text, own in zip(texts, offsets, strict=True)]
        tags = iter(self.tag([words for words in sentences if words]))
        spans = [tagged_spans(own, next(tags)) if own else [] for own in offsets]
        return [ordered_pairs(own, self.settings.most_pairs, self.settings.types) for own in spans]


def tagged_spans(offsets: Sequence[tuple[int, int]], tags: Sequence[str]) -> list[TextSpan]:
    """Return the entities of a text in its order, from where its tokens are and their BIO2 tags.

    >>> tagged_spans([(0, 4), (5, 8), (9, 12)], ["B-PER", "I-PER", "O"])
    [TextSpan(start=0, end=8, kind='PER')]
    """
    entities = sorted(entity_spans(list(tags)), key=lambda entity: entity[1:])
    return [TextSpan(offsets[first][0], offsets[end - 1][1], kind) for kind, first, end in entities]


def ordered_pairs(spans: Sequence[TextSpan], most: int, types: Collection[tuple[str, str]] = ()) -> list[SpanPair]:
    """Return the ordered pairs of spans, at most so many: those closest to each other, then in the order of the text.

    Args:
        spans: of one text.
        most: pairs.
        types: of head and tail that can be related; (): any two.

    >>> anna, acme = TextSpan(0, 4, "PER"), TextSpan(13, 17, "ORG")
    >>> [(pair.head.kind, pair.tail.kind) for pair in ordered_pairs([anna, acme], 50)]
    [('PER', 'ORG'), ('ORG', 'PER')]
    >>> len(ordered_pairs([anna, acme], 50, [("PER", "ORG")]))
    1
    """
    allowed = set(types)
    pairs = [SpanPair(head, tail) for head, tail in permutations(spans, 2)]
    fitting = [pair for pair in pairs if not allowed or (pair.head.kind, pair.tail.kind) in allowed]
    return sorted(fitting, key=lambda pair: (pair.gap, pair.head.start, pair.tail.start))[:most]


def tag_with(learner: Learner) -> Callable[[list[list[str]]], list[list[str]]]:
    """Return the function with which a learner of token classification tags sentences."""

    def tag(sentences: list[list[str]]) -> list[list[str]]:
        from cl.models.inference import answer

        if not sentences:
            return []
        return [
            list(prediction.value) for prediction in answer(learner, learner.task.schema.frame(sentences)).predictions
        ]

    return tag
