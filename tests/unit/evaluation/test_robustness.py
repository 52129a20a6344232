from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from cl.config import EvaluationSettings
from cl.evaluation.robustness import change_case, disturb, measure_robustness
from cl.models.inference import predict
from cl.models.typing_errors import add_typing_errors

WORDS = "where is the parcel that you promised last week"


def distance(one: str, other: str) -> int:
    """Count letters that differ: for words whose lengths differ by one at most, what is not shared at either end."""
    ahead = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return max(len(one), len(other)) - ahead


def test_typing_errors_leave_short_words_ends_and_the_number_of_words_as_they_are() -> None:
    for seed in range(200):
        slipped = add_typing_errors(WORDS, np.random.default_rng(seed), share=1.0).split(" ")
        assert len(slipped) == len(WORDS.split(" "))
        for before, after in zip(WORDS.split(" "), slipped, strict=True):
            assert (after[0], after[-1]) == (before[0], before[-1]) and abs(len(after) - len(before)) <= 1
            assert len(before) >= 4 or after == before


def test_the_share_of_words_with_a_typing_error_is_the_one_that_was_asked_for() -> None:
    words = ["carriage"] * 4_000
    slipped = add_typing_errors(" ".join(words), np.random.default_rng(0), share=0.25).split(" ")
    wrong = np.mean([one != "carriage" for one in slipped])
    assert 0.19 < wrong < 0.26, "one slip in four hits the same letter or swaps two equal ones now and then"


def test_casing_changes_no_letter() -> None:
    seen = {change_case("My Card is lost", np.random.default_rng(seed)) for seed in range(20)}
    assert seen == {"MY CARD IS LOST", "my card is lost", "My Card Is Lost"}


def test_a_row_is_disturbed_in_the_same_way_wherever_it_stands_and_tokens_one_by_one() -> None:
    change = partial(add_typing_errors, share=1.0)
    rows = pd.DataFrame({"id": ["a", "b"], "text": [WORDS, WORDS]})
    first = disturb(rows, "text", change, seed=1)["text"].tolist()
    turned = disturb(rows.iloc[::-1], "text", change, seed=1)["text"].tolist()
    assert first == turned[::-1] and first[0] != first[1]
    assert first != disturb(rows, "text", change, seed=2)["text"].tolist()
    (tokens,) = disturb(pd.DataFrame({"id": ["a"], "tokens": [["Anna", "visited", "York"]]}), "tokens", change, seed=1)[
        "tokens"
    ]
    assert len(tokens) == 3 and tokens != ["Anna", "visited", "York"]


def test_only_what_is_wanted_is_measured_and_it_is_the_tasks_main_metric(learner, unseen) -> None:
    clean = learner.task.score(unseen, [one.value for one in predict(learner, unseen)])["accuracy"]
    found = measure_robustness(learner, unseen, EvaluationSettings(typos=1.0), seed=1)
    assert list(found) == ["robustness_typos", "robustness_casing", "robustness_adversarial"]
    assert clean > 0.7 and found["robustness_typos"] < clean and found["robustness_adversarial"] <= clean
    assert found["robustness_casing"] == clean, "its tokenizer knows no capitals"
    assert measure_robustness(learner, unseen, EvaluationSettings(typos=1.0), seed=1) == found
    assert measure_robustness(learner, unseen, EvaluationSettings(robustness=["casing"]), seed=1) == pytest.approx(
        {"robustness_casing": clean}
    )
    assert measure_robustness(learner, unseen.head(0), EvaluationSettings(), seed=1) == {}
