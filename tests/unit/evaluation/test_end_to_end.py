"""The end-to-end score, against the answers of a real learner."""

from __future__ import annotations

import pandas as pd
import pytest

from cl.evaluation.end_to_end import PairedTexts, score_end_to_end
from cl.models.build import grow_labels, new_learner
from cl.models.inference import answer
from cl.models.learner import Learner
from cl.models.pairs import SpanPair, TextSpan
from tests.support.pipelines import NONE, related_pairs


@pytest.fixture(scope="module")
def learner(tiny_model) -> Learner:
    from cl.config.config import parse

    task = {"name": "relation_extraction", "no_relation": NONE}
    config = parse({"task": task, "model": {"name": str(tiny_model), "max_length": 64}}, where="test")
    return grow_labels(new_learner(config), [NONE, "visited", "works_at"], seed=3)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return related_pairs(40, seed=5)


def pairs_of(rows: pd.DataFrame) -> PairedTexts:
    """Return the pairs that people have marked, as if a tagger had found just these."""
    of: dict[str, list[SpanPair]] = {}
    for text, head, tail in zip(rows["text"], rows["head"], rows["tail"], strict=True):
        of.setdefault(text, []).append(SpanPair(TextSpan(head[0], head[1], "X"), TextSpan(tail[0], tail[1], "Y")))
    return PairedTexts("people@1", list(of), list(of.values()))


def test_where_the_tagger_finds_what_people_have_marked_the_score_is_that_on_marked_spans(learner, rows) -> None:
    scores = score_end_to_end(learner, rows, pairs_of(rows))
    marked = learner.task.score(rows, answer(learner, rows).values)
    assert 0 < marked["micro_f1"] < 1
    assert scores["end_to_end_f1"] == pytest.approx(marked["micro_f1"])
    assert scores["end_to_end_precision"] == pytest.approx(marked["precision"])
    assert scores["end_to_end_recall"] == pytest.approx(marked["recall"])
    assert scores["end_to_end_spans"] == 1.0


def test_a_pair_that_the_tagger_misses_is_not_recalled(learner, rows) -> None:
    found = pairs_of(rows)
    half = PairedTexts(found.tagger, found.texts, [own if row % 2 else [] for row, own in enumerate(found.pairs)])
    scores = score_end_to_end(learner, rows, half)
    assert scores["end_to_end_spans"] == pytest.approx(0.5)
    assert scores["end_to_end_recall"] < score_end_to_end(learner, rows, found)["end_to_end_recall"]


def test_a_relation_between_spans_that_nobody_has_marked_is_wrong(learner, rows) -> None:
    found = pairs_of(rows)
    one_off = [[SpanPair(TextSpan(0, 3, "X"), own[0].tail), *own] for own in found.pairs]
    more = PairedTexts(found.tagger, found.texts, one_off)
    before, after = (score_end_to_end(learner, rows, paired) for paired in (found, more))
    assert after["end_to_end_recall"] == before["end_to_end_recall"]
    assert after["end_to_end_precision"] < before["end_to_end_precision"]


def test_where_nothing_is_true_and_nothing_is_answered_nothing_is_decided(learner, rows) -> None:
    none = rows[rows["relation"] == NONE]
    assert score_end_to_end(learner, none, PairedTexts("people@1", [], [])) == {}
