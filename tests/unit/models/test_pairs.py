from __future__ import annotations

from cl.config.pipeline import PipelineSettings
from cl.models.pairs import PairFinder, SpanPair, TextSpan, ordered_pairs, tagged_spans
from cl.tasks.relation_extraction import RelationExtraction

ANNA, ACME, YORK = TextSpan(0, 4, "PER"), TextSpan(13, 17, "ORG"), TextSpan(21, 25, "LOC")
TEXT = "Anna founded Acme in York."


def edges(pairs: list[SpanPair]) -> list[tuple[int, int]]:
    return [(pair.head.start, pair.tail.start) for pair in pairs]


def test_entities_are_spans_of_characters_in_the_order_of_the_text() -> None:
    offsets = [(0, 4), (5, 8), (9, 14), (15, 18)]
    spans = tagged_spans(offsets, ["B-PER", "I-PER", "B-ORG", "O"])
    assert spans == [TextSpan(0, 8, "PER"), TextSpan(9, 14, "ORG")]


def test_both_orders_of_the_spans_that_are_closest_come_first() -> None:
    assert edges(ordered_pairs([ANNA, ACME, YORK], 3)) == [(13, 21), (21, 13), (0, 13)]
    assert len(ordered_pairs([ANNA, ACME, YORK], 50)) == 6


def test_only_types_that_can_be_related_are_asked_about() -> None:
    pairs = ordered_pairs([ANNA, ACME, YORK], 50, [("PER", "ORG"), ("ORG", "LOC")])
    assert edges(pairs) == [(13, 21), (0, 13)]


def test_a_finder_tags_the_words_of_each_text_and_passes_over_texts_without_words() -> None:
    asked: list[list[list[str]]] = []

    def tag(sentences: list[list[str]]) -> list[list[str]]:
        asked.append(sentences)
        return [["B-PER" if word[0].isupper() else "O" for word in words] for words in sentences]

    finder = PairFinder("people@1", tag, PipelineSettings(most_pairs=2))
    first, empty, alone = finder.pairs([TEXT, "  ", "no name"])
    assert asked == [[["Anna", "founded", "Acme", "in", "York", "."], ["no", "name"]]]
    assert edges(first) == [(13, 21), (21, 13)] and (empty, alone) == ([], [])


def test_a_pair_is_a_row_of_the_task() -> None:
    row = SpanPair(ACME, ANNA).inputs(TEXT, RelationExtraction().schema)
    assert row == {"text": TEXT, "head": [13, 17], "tail": [0, 4]}
