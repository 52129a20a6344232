from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.build import grow_labels, new_learner
from cl.models.pretrained import load_tokenizer
from cl.tasks import Encoded, Targets
from cl.tasks.question_answering import QuestionAnswering

TASK = QuestionAnswering()
LABELS = ["start", "end"]


def rows_of(*rows: tuple[str, str, list[str]], starts: list[list[int]] | None = None) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["question", "context", "answers"]).assign(id=list(map(str, range(len(rows)))))
    return frame if starts is None else frame.assign(answer_starts=starts)


WHO = ("where is anna", "anna lives in new york", ["new york"])
NEVER = ("where is ben", "anna lives in new york", [])


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model))


def test_an_answer_is_its_first_and_last_token_and_none_is_the_first_of_all(tokenizer) -> None:
    first, second = TASK.encode(rows_of(WHO, NEVER), tokenizer, LABELS, max_length=32)
    pieces = tokenizer.convert_ids_to_tokens(first.input_ids)
    assert pieces == ["[CLS]", "where", "is", "anna", "[SEP]", "anna", "lives", "in", "new", "york", "[SEP]"]
    assert first.targets == [8, 9] and second.targets == [0, 0]


def test_a_given_start_says_which_occurrence_is_meant(tokenizer) -> None:
    asked = ("who is back", "anna said ben and anna goes back", ["anna"])
    (found,) = TASK.encode(rows_of(asked), tokenizer, LABELS, max_length=32)
    (given,) = TASK.encode(rows_of(asked, starts=[[18]]), tokenizer, LABELS, max_length=32)
    assert found.targets == [5, 5] and given.targets == [9, 9]


def test_an_answer_beyond_what_is_read_trains_nothing(tokenizer) -> None:
    (row,) = TASK.encode(rows_of(WHO), tokenizer, LABELS, max_length=9)
    assert len(row.input_ids) == 9 and row.targets == [-100, -100]
    (unlabelled,) = TASK.encode(rows_of(WHO).drop(columns="answers"), tokenizer, LABELS, max_length=32)
    assert unlabelled.targets == [-100, -100]


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0])])
def test_a_batch_without_any_answer_that_is_read_has_no_loss_and_moves_nothing(weights) -> None:
    logits = torch.randn(2, 5, 2, requires_grad=True)
    loss = TASK.loss(logits, torch.full((2, 2), -100), weights)
    loss.backward()
    assert loss.item() == 0.0 and not logits.grad.any()


def test_a_long_question_leaves_half_of_the_length_to_the_text(tokenizer) -> None:
    (row,) = TASK.encode(rows_of(("anna " * 90, WHO[1], ["anna"])), tokenizer, LABELS, max_length=16)
    assert len(row.input_ids) <= 16
    assert row.context.first == 10 and row.targets == [10, 10]


def answered(starts: list[float], ends: list[float], task: QuestionAnswering = TASK) -> tuple[list[str], float]:
    tokenizer_free = type("Passage", (), {"text": "anna lives in york", "first": 2})()
    tokenizer_free.offsets = [(0, 4), (5, 10), (11, 13), (14, 18)]
    row = Encoded([0] * 7, [-100, -100], [], tokenizer_free)
    prediction = task.decode(np.array([starts, ends]).T, row, Targets(LABELS))
    return prediction.value, prediction.confidence


def test_the_most_probable_span_is_answered_by_hand() -> None:
    # positions: nowhere, the question, four tokens of the text, the end
    assert answered([0.1, 0, 0.2, 0.1, 0.0, 0.6, 0], [0.1, 0, 0.7, 0.0, 0.1, 0.1, 0]) == (["anna"], pytest.approx(0.14))
    assert answered([0.1, 0, 0.5, 0.1, 0.2, 0.1, 0], [0.1, 0, 0.1, 0.1, 0.5, 0.2, 0])[0] == ["anna lives in"]
    assert answered([0.6, 0, 0.2, 0.1, 0.1, 0.0, 0], [0.6, 0, 0.1, 0.1, 0.2, 0.0, 0]) == ([], pytest.approx(0.36))


def test_an_answer_has_at_most_so_many_tokens() -> None:
    probable = [0.1, 0, 0.9, 0, 0, 0, 0], [0.1, 0, 0.2, 0, 0, 0.7, 0]
    assert answered(*probable)[0] == ["anna lives in york"]
    assert answered(*probable, QuestionAnswering(max_answer_tokens=2))[0] == ["anna"]


@pytest.mark.parametrize(
    ("truth", "said", "exact", "f1"),
    [
        (["the red house"], ["a Red House!"], 1.0, 1.0),
        (["red house", "house"], ["house"], 1.0, 1.0),
        (["the red house"], ["house"], 0.0, 2 / 3),
        (["«rouge»"], ["rouge"], 1.0, 1.0),
        (["$5"], ["5"], 1.0, 1.0),
        (["red house"], ["lamp"], 0.0, 0.0),
        (["red house"], [], 0.0, 0.0),
        ([], ["lamp"], 0.0, 0.0),
        ([], [], 1.0, 1.0),
        (["the"], ["a"], 1.0, 1.0),
    ],
)
def test_answers_are_scored_as_squad_does(truth, said, exact, f1) -> None:
    scores = TASK.score(rows_of(("?", "", truth)), [said])
    assert scores["exact_match"] == exact
    assert scores["f1"] == pytest.approx(f1)


def test_questions_with_and_without_an_answer_are_scored_apart() -> None:
    rows = rows_of(WHO, WHO, NEVER)
    said = [["new york"], [], ["york"]]
    assert TASK.class_scores(rows, said) == {"answerable": 0.5, "unanswerable": 0.0}
    assert TASK.per_class(rows, said)["answerable"] == {"count": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5}


def test_the_brier_score_by_hand() -> None:
    row = Encoded([0] * 2, [0, 1], [])
    assert TASK.brier(np.array([[0.8, 0.4], [0.2, 0.6]]), row) == pytest.approx((0.08 + 0.32) / 2)


def test_padding_and_the_question_are_never_an_answer(tiny_config) -> None:
    learner = grow_labels(new_learner(tiny_config(task="question_answering")), LABELS, seed=0)
    longer = ("where", "ben said anna goes from the old bank to the new box in york", ["york"])
    (batch,) = learner.batches(learner.encode(rows_of(WHO, longer)), None)
    with torch.no_grad():
        probabilities = learner.task.probabilities(learner.logits(batch))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(2, 2))
    row = batch.rows.index(0)
    assert probabilities[row, 1:5].max() == 0 and probabilities[row, 10:].max() == 0
    assert probabilities[row, 0].min() > 0 and probabilities[row, 5:10].min() > 0


def test_each_window_of_a_long_text_has_the_question_before_it(tiny_config, tiny_model) -> None:
    model = {"name": str(tiny_model), "max_length": 16, "windows": {"overlap": 4, "at_most": 8}}
    learner = grow_labels(new_learner(tiny_config(task="question_answering", model=model)), LABELS, seed=0)
    learner.eval_mode()
    context = " ".join(np.random.default_rng(0).choice(["anna", "ben", "york", "paris", "box", "lamp"], 30))
    (row,) = learner.encode(rows_of(("where is anna", context, [])))
    (batch,) = learner.batches([row], None)
    assert batch.input_ids.shape[1] == 5 + 30 + 1
    with torch.no_grad():
        (stitched,) = learner.states(batch.input_ids, batch.mask, prefix=batch.extras["prefix"])
        ids = batch.input_ids[0]
        window = torch.cat([ids[:5], ids[5 + 6 : 5 + 16], ids[-1:]])[None]  # ten tokens of the text, six apart
        (own,) = learner.states(window, torch.ones_like(window))
    torch.testing.assert_close(stitched[0, 5 + 11], own[0, 5 + 5], rtol=1e-4, atol=1e-5)
