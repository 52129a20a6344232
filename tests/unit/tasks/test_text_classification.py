from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.pooling import mean_pool
from cl.models.pretrained import load_tokenizer
from cl.tasks import Encoded, Targets
from cl.tasks.text_classification import TextClassification

TASK = TextClassification()
ROWS = pd.DataFrame({"id": ["1", "2"], "text": ["my card is lost", "pay the fee"], "label": ["card", "fee"]})


def test_labels_the_model_does_not_know_train_nothing(tiny_model) -> None:
    encoded = TASK.encode(ROWS, load_tokenizer(str(tiny_model)), ["fee"], max_length=16)
    assert [one.targets for one in encoded] == [[-100], [0]]


def test_rows_without_labels_can_be_answered(tiny_model) -> None:
    encoded = TASK.encode(ROWS[["text"]], load_tokenizer(str(tiny_model)), ["fee"], max_length=16)
    assert [one.targets for one in encoded] == [[-100], [-100]]


def test_long_text_is_cut_to_the_length_asked_for(tiny_model) -> None:
    rows = pd.DataFrame({"id": ["1"], "text": ["card " * 100_000], "label": ["card"]})
    (one,) = TASK.encode(rows, load_tokenizer(str(tiny_model)), ["card"], max_length=16)
    assert len(one.input_ids) == 16


def test_each_label_is_scored_by_its_own_rows() -> None:
    rows = pd.concat([ROWS, ROWS.iloc[:1]], ignore_index=True)
    assert TASK.class_scores(rows, ["card", "card", "fee"]) == {"card": 0.5, "fee": 0.0}


def test_padding_has_no_part_in_the_mean() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [99.0, 99.0]]])
    assert mean_pool(hidden, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 3.0]]


def test_scores_against_a_hand_computed_case() -> None:
    rows = pd.DataFrame({"label": ["a", "a", "b", "c"]})
    scores = TASK.score(rows, ["a", "b", "b", "a"])
    assert scores["accuracy"] == 0.5
    assert scores["macro_f1"] == pytest.approx((0.5 + 2 / 3 + 0.0) / 3)
    assert TASK.row_scores(rows, ["a", "b", "b", "a"]).tolist() == [1, 0, 1, 0]


def test_without_rows_nothing_is_scored() -> None:
    nothing = pd.DataFrame({"text": [], "label": []}, dtype=object)
    assert TextClassification().score(nothing, []) == {}
    scored = TextClassification().score_experience("may", nothing, [])
    assert scored.value is None and scored.undecided == "it has no test rows"


def test_rows_that_are_decoded_together_have_the_answers_and_brier_scores_of_each_alone_to_the_bit() -> None:
    rng, task, targets = np.random.default_rng(0), TextClassification(), Targets(["fee", "loan", "card"])
    logits = rng.normal(size=(200, 1, 3)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    rows = [Encoded([1], [int(target)], [0]) for target in rng.choice([0, 1, 2, -100], size=200)]
    together = task.decode_rows(probabilities, rows, targets)
    assert together == [task.decode(own, row, targets) for own, row in zip(probabilities, rows, strict=True)]
    alone = [task.brier(own, row) for own, row in zip(probabilities, rows, strict=True)]
    assert task.brier_rows(probabilities, rows).tolist() == alone
