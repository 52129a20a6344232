from __future__ import annotations

import pandas as pd
import pytest
import torch

from cl.models.build import grow_labels, new_learner
from cl.models.pretrained import load_tokenizer
from cl.tasks.relation_extraction import RelationExtraction

TASK = RelationExtraction()


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model), split_words=True)


def pair(text: str, head: str, tail: str, relation: str = "lives_in") -> pd.DataFrame:
    spans = [[text.index(part), text.index(part) + len(part)] for part in (head, tail)]
    return pd.DataFrame({"id": ["1"], "text": [text], "head": spans[:1], "tail": spans[1:], "relation": [relation]})


def test_both_spans_are_marked_and_known_by_their_tokens(tokenizer) -> None:
    (row,) = TASK.encode(pair("anna lives in new york", "anna", "new york"), tokenizer, ["lives_in"], max_length=32)
    pieces = tokenizer.convert_ids_to_tokens(row.input_ids)
    marked = ["[UNK]", "anna", "[UNK]", "lives", "in", "[UNK]", "new", "york", "[UNK]"]  # the tiny model has no @ and #
    assert pieces == ["[CLS]", *marked, "[SEP]"]
    assert row.context == [0, 0, 1, 0, 0, 0, 0, 2, 2, 0, 0]
    assert row.targets == [0]


@pytest.mark.parametrize(
    ("text", "head", "tail", "parts"),
    [
        ("anna said ben", "ben", "anna", {"anna": 2, "said": 0, "ben": 1}),
        ("the bank in york", "the bank in york", "york", {"the": 1, "bank": 1, "in": 1, "york": 3}),
        ("anna", "anna", "anna", {"anna": 3}),
    ],
)
def test_spans_may_come_in_any_order_and_overlap(tokenizer, text, head, tail, parts) -> None:
    (row,) = TASK.encode(pair(text, head, tail), tokenizer, [], max_length=32)
    pieces = tokenizer.convert_ids_to_tokens(row.input_ids)
    assert {piece: part for piece, part in zip(pieces, row.context, strict=True) if not piece.startswith("[")} == parts


def test_a_text_without_blanks_is_split_at_the_spans(tokenizer) -> None:
    rows = pd.DataFrame({"id": ["1"], "text": ["annayork"], "head": [[0, 4]], "tail": [[4, 8]]})
    (row,) = TASK.encode(rows, tokenizer, ["lives_in"], max_length=32)
    pieces = tokenizer.convert_ids_to_tokens(row.input_ids)
    assert [piece for piece in pieces if not piece.startswith("[")] == ["anna", "york"]
    assert row.targets == [-100]


@pytest.mark.parametrize("most", [10, 11, 14])
def test_a_long_text_is_cut_around_the_spans(tokenizer, most) -> None:
    text = " ".join(["the"] * 30 + ["anna", "visited", "york"] + ["box"] * 40)
    (row,) = TASK.encode(pair(text, "anna", "york"), tokenizer, ["lives_in"], max_length=most)
    pieces = tokenizer.convert_ids_to_tokens(row.input_ids)
    assert len(pieces) == most
    assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]"
    assert {"anna", "visited", "york"} <= set(pieces)


def test_the_head_reads_the_means_of_both_spans_and_of_the_text(tiny_config) -> None:
    learner = new_learner(tiny_config(task="relation_extraction"))
    rows = pd.concat([pair("anna lives in new york", "anna", "new york"), pair("ben works at the bank", "bank", "ben")])
    learner = grow_labels(learner, learner.task.labels(rows), seed=0)
    assert learner.head.width == 3 * learner.width
    (batch,) = learner.batches(learner.encode(rows), None)
    states = torch.randn(*batch.input_ids.shape, learner.width)
    features = learner.features(states, batch)
    first = batch.rows.index(0)
    torch.testing.assert_close(features[first, : learner.width], states[first, 2])
    torch.testing.assert_close(features[first, learner.width : -learner.width], states[first, 7:9].mean(0))
    real = states[first][batch.mask[first].bool()]
    torch.testing.assert_close(features[first, -learner.width :], real.mean(0))


def test_f1_leaves_out_pairs_rightly_said_to_have_no_relation() -> None:
    task = RelationExtraction(no_relation="none")
    rows = pd.DataFrame({"relation": ["a", "a", "b", "none", "none"]})
    scores = task.score(rows, ["a", "b", "none", "none", "b"])
    # right: the first; said: four of them are relations, less the third and fourth: a, b, b; actual: a, a, b
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 3)
    assert scores["micro_f1"] == pytest.approx(1 / 3)
    assert scores["accuracy"] == pytest.approx(2 / 5)
    assert TASK.score(rows, ["a", "b", "none", "none", "b"])["micro_f1"] == pytest.approx(2 / 5)


def test_rows_without_any_relation_decide_no_f1() -> None:
    task = RelationExtraction(no_relation="none")
    rows = pd.DataFrame({"relation": ["none", "none"]})
    assert task.main_score(rows, ["none", "none"]) is None
    assert task.main_score(rows, ["none", "a"]) == 0.0
    assert "2 test rows" in task.score_experience("e", rows, ["none", "none"]).undecided
