from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cl.models.build import grow_labels, new_learner
from cl.models.inference import answer
from cl.models.pretrained import load_tokenizer
from cl.tasks import Encoded, Targets
from cl.tasks.token_classification import TokenClassification, entity_spans

TASK = TokenClassification()
ROWS = pd.DataFrame(
    {
        "id": ["1", "2"],
        "tokens": [["anna", "visited", "parcels", "in", "paris"], ["the", "bank"]],
        "tags": [["B-PER", "O", "O", "O", "B-LOC"], ["O", "O"]],
    }
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["B-PER", "I-PER", "O"], {("PER", 0, 2)}),
        (["B-PER", "B-PER"], {("PER", 0, 1), ("PER", 1, 2)}),
        (["O", "I-LOC", "I-LOC"], {("LOC", 1, 3)}),
        (["B-PER", "I-LOC", "O"], {("PER", 0, 1), ("LOC", 1, 2)}),
        (["O", "O"], set()),
        (["B-A-B", "I-A-B"], {("A-B", 0, 2)}),
    ],
)
def test_spans_follow_the_conll_rules(tags, expected) -> None:
    assert entity_spans(tags) == expected


def test_the_tag_sits_on_the_first_piece_of_each_word(tiny_model) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    labels = TASK.labels(ROWS)
    assert labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    one = TASK.encode(ROWS, tokenizer, labels, max_length=32)[0]
    pieces = tokenizer.convert_ids_to_tokens(one.input_ids)
    assert pieces == ["[CLS]", "anna", "visited", "parcel", "##s", "in", "paris", "[SEP]"]
    assert one.targets == [-100, 3, 0, 0, -100, 0, 1, -100]
    assert one.anchors == [1, 2, 3, 5, 6]


def test_a_word_of_which_the_tokenizer_leaves_nothing_keeps_its_place(tiny_model) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    rows = pd.DataFrame(
        {"tokens": [["\u200b", "anna", "\u200d", "visited", "paris"]], "tags": [["O", "B-PER", "I-PER", "O", "B-LOC"]]}
    )
    labels = TASK.labels(rows)
    (one,) = TASK.encode(rows, tokenizer, labels, max_length=32)
    pieces = tokenizer.convert_ids_to_tokens(one.input_ids)
    assert pieces == ["[CLS]", "[UNK]", "anna", "[UNK]", "visited", "paris", "[SEP]"]
    assert one.anchors == [1, 2, 3, 4, 5]
    certain = np.eye(len(labels))[[max(target, 0) for target in one.targets]]
    assert TASK.decode(certain, one, Targets(labels)).value == rows["tags"][0]


def test_words_beyond_the_length_are_tagged_outside() -> None:
    probabilities = np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    found = TASK.decode(probabilities, Encoded([0, 1, 2], [], [1], 3), Targets(["O", "B-PER"]))
    assert found.value == ["B-PER", "O", "O"]
    assert found.confidence == pytest.approx(0.8)


def test_entity_scores_against_a_hand_computed_case() -> None:
    rows = pd.DataFrame({"tags": [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "O", "O"]]})
    guessed = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O", "O", "O"]]
    scores = TASK.score(rows, guessed)
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 2)
    assert scores["f1"] == pytest.approx(2 / 5)
    assert scores["f1/PER"] == 0.0 and scores["f1/LOC"] == pytest.approx(2 / 3)
    assert TASK.row_scores(rows, guessed).tolist() == [0.5, 0.0]


def test_each_entity_type_is_scored_by_itself_whatever_stands_beside_it() -> None:
    rows = pd.DataFrame({"tags": [["B-PER", "O", "B-LOC"], ["B-LOC", "O", "O"], ["O", "O", "O"]]})
    guessed = [["B-PER", "O", "O"], ["B-LOC", "O", "O"], ["B-PER", "O", "O"]]
    assert TASK.class_scores(rows, guessed) == pytest.approx({"PER": 2 / 3, "LOC": 2 / 3})
    assert TASK.class_scores(rows.iloc[2:], guessed[2:]) == {}


def test_every_token_gets_a_tag_from_a_model(tiny_config) -> None:
    learner = new_learner(tiny_config(task="token_classification"))
    learner = grow_labels(learner, TASK.labels(ROWS), seed=0)
    answers = answer(learner, ROWS)
    assert [len(one.value) for one in answers.predictions] == [5, 2]
    assert answers.embeddings.shape == (2, 32)


NOTHING = [["O", "O"], ["O", "O", "O"]]


@pytest.mark.parametrize(
    ("truth", "predicted", "expected"),
    [
        pytest.param([], [], {}, id="no rows"),
        pytest.param(NOTHING, NOTHING, {}, id="no entity, none predicted"),
        pytest.param(
            NOTHING,
            [["O", "O"], ["O", "B-PER", "O"]],
            {"f1": 0.0, "macro_f1": 0.0, "precision": 0.0},
            id="one false entity",
        ),
        pytest.param(
            [["B-PER", "O"], ["O", "O", "O"]],
            NOTHING,
            {"f1": 0.0, "macro_f1": 0.0, "precision": 0.0, "recall": 0.0, "f1/PER": 0.0},
            id="all missed",
        ),
    ],
)
def test_rows_that_decide_nothing_have_no_score_and_a_false_entity_has_zero(truth, predicted, expected) -> None:
    rows = pd.DataFrame({"tags": pd.Series(truth, dtype=object)})
    assert TASK.score(rows, predicted) == expected
    assert TASK.main_score(rows, predicted) == expected.get("f1")
    scored = TASK.score_experience("may", rows, predicted)
    assert (scored.value, scored.rows) == (expected.get("f1"), len(truth))
    assert bool(scored.undecided) is not bool(expected)


def annotated(types: list[str] | None, tags: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"tokens": [["anna", "visited", "the", "bank"]], "tags": [tags], "annotated": [types]})


def test_a_type_that_a_row_is_not_annotated_for_is_not_scored_and_an_annotated_one_is() -> None:
    rows = annotated(["ORG"], ["O", "O", "O", "B-ORG"])
    right, false = ["B-PER", "O", "O", "B-ORG"], ["B-PER", "O", "B-ORG", "B-ORG"]
    assert TASK.row_scores(rows, [right]).tolist() == [1.0]
    assert TASK.score(rows, [right])["f1"] == 1.0 and TASK.score(rows, [false])["precision"] == 0.5
    assert TASK.per_class(rows, [right]) == {"ORG": {"count": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}}
    assert TASK.classes(rows.assign(tags=[right])).tolist() == ["ORG"]
    whole = annotated(None, ["O", "O", "O", "B-ORG"])
    assert TASK.score(whole, [right])["f1"] == pytest.approx(2 / 3)


def test_an_o_is_learned_only_where_no_other_type_is_known(tiny_model) -> None:
    tokenizer, rows = load_tokenizer(str(tiny_model)), annotated(["ORG"], ["O", "O", "O", "B-ORG"])
    both = ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    (known,) = TASK.encode(rows, tokenizer, both, max_length=16)
    assert [known.targets[position] for position in known.anchors] == [-100, -100, -100, 1]
    (alone,) = TASK.encode(rows, tokenizer, both[:3], max_length=16)
    assert [alone.targets[position] for position in alone.anchors] == [0, 0, 0, 1]
    probabilities = np.full((len(known.input_ids), 5), 0.2)
    probabilities[known.anchors[3]] = [0, 1, 0, 0, 0]
    assert TASK.brier(probabilities, known) == 0.0, "only the word that is known counts"


def test_a_batch_in_which_nothing_is_known_has_no_loss(tiny_model) -> None:
    import torch

    logits = torch.randn(2, 3, 5, requires_grad=True)
    loss = TASK.loss(logits, torch.full((2, 3), -100), torch.ones(2))
    loss.backward()
    assert loss.item() == 0.0 and not logits.grad.any()


def test_the_report_counts_as_seqeval_does() -> None:
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O", "B-LOC", "O"]]
    predicted = [["B-PER", "I-PER", "O", "O"], ["B-LOC", "O", "O", "B-MISC"]]
    report = TASK.report(pd.DataFrame({"tags": truth}), predicted)
    assert list(report) == ["LOC", "MISC", "PER", "micro avg", "macro avg", "weighted avg"]
    assert report["LOC"] == pytest.approx({"count": 3, "precision": 1.0, "recall": 1 / 3, "f1": 0.5})
    assert report["MISC"] == {"count": 0.0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert report["micro avg"] == pytest.approx({"count": 4, "precision": 2 / 3, "recall": 0.5, "f1": 4 / 7})
    assert report["macro avg"] == pytest.approx({"count": 4, "precision": 2 / 3, "recall": 4 / 9, "f1": 0.5})
    assert report["weighted avg"] == pytest.approx({"count": 4, "precision": 1.0, "recall": 0.5, "f1": 0.625})
    assert TASK.report(pd.DataFrame({"tags": [["O"]]}), [["O"]]) == {}
