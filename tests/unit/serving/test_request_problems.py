"""A body that does not match its schema is described in a line, without a word of the validator or of the client."""

from __future__ import annotations

import random
from typing import Any

import pytest
from pydantic import ValidationError

from cl.serving.error_body import CHARACTERS, one_line
from cl.serving.request_problems import describe_problems
from cl.serving.schemas import FeedbackRequest, PredictRequest, RequestBody
from tests.support.raw_http import INTERNALS

ID = "0d0a3d1c-6e0c-4b53-a0b7-4f1f0f0f6f3a"
SECRET = "sesame"


def problem(model: type[RequestBody], body: Any) -> str | None:
    """Return what is said about a body, or None if nothing is wrong with it."""
    try:
        model.model_validate(body)
    except ValidationError as error:
        return one_line(describe_problems([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]))
    return None


SIX = "got text of 6 characters"
PREDICT = [
    ({"text": None, "texts": None}, "send exactly one of text, texts and tokens"),
    ([SECRET], "the body: expected a JSON object, got a list of 1 item"),
    (None, "the body: expected a JSON object, got null"),
    ({"text": 3}, "text: expected text, got the number 3"),
    ({"text": 10**400}, "text: expected text, got a number"),
    ({"text": True}, "text: expected text, got true"),
    ({"text": {"a": SECRET}}, "text: expected text, got an object"),
    ({"text": [SECRET, SECRET]}, "text: expected text, got a list of 2 items"),
    ({"texts": SECRET}, f"texts: expected a list, {SIX}"),
    ({"texts": ["a", None]}, "texts[1]: expected text, got null"),
    ({"texts": ["\ud800"]}, "a text holds half a character (a lone surrogate)"),
    ({"tokens": [["a"], []]}, "tokens[1]: expected a list of at least 1 item, got an empty list"),
    ({"tokens": [["a", "  "]]}, "tokens[0][1]: expected text that is not blank, got text of 2 characters"),
    ({"text": "a", "top_k": 1_001}, "top_k: expected at most 1000, got the number 1001"),
    ({"text": "a", "top_k": SECRET}, f"top_k: expected an integer, {SIX}"),
    ({"text": "a", "top_k": 1.5}, "top_k: expected an integer, got the number 1.5"),
    ({"text": "a", "probabilities": SECRET}, f"probabilities: expected true or false, {SIX}"),
    ({"text": "a", "key": "k" * 300}, "key: expected text of at most 256 characters, got text of 300 characters"),
]
HALF = "text without half a character (a lone surrogate)"
FEEDBACK = [
    ({}, "id is missing; label is missing"),
    ({"id": SECRET, "label": "a"}, f"id: expected the id of an answer, as /predict returned it, {SIX}"),
    ({"id": ID, "label": 3}, "label: expected text, or a list with a tag per token, got the number 3"),
    ({"id": ID, "label": ""}, "label: expected text of at least 1 character, got empty text"),
    ({"id": ID, "label": ["a", 3]}, "label[1]: expected text, got the number 3"),
    ({"id": ID, "label": ["a"] * 10_001}, "label: expected a list of at most 10000 items, got a list of 10001 items"),
    ({"id": ID, "label": "a\ud800"}, f"label: expected {HALF}, got text of 2 characters"),
]


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [(PredictRequest, *one) for one in PREDICT] + [(FeedbackRequest, *one) for one in FEEDBACK],
)
def test_a_problem_names_the_field_what_is_expected_and_what_came(model, body, said) -> None:
    assert problem(model, body) == said


def test_unknown_fields_are_counted_and_the_first_is_named_in_part() -> None:
    body = {f"\n{SECRET * 1_000}{number}": 1 for number in range(50_000)}
    said = problem(PredictRequest, {"text": "a", **body})
    assert "and 49999 more; the fields are text, texts, tokens, top_k, probabilities, key" in said
    assert said.count(SECRET) <= 7 and len(said) < 200


@pytest.mark.parametrize("wrong", [3, None, "", {}, ["a"]], ids=repr)
@pytest.mark.parametrize("many", [1, 200_000])
def test_a_list_is_described_by_its_first_wrong_item(wrong, many) -> None:
    for model, body in (
        (PredictRequest, {"tokens": [["a", wrong]] * many}),
        (PredictRequest, {"tokens": [["a"], *[wrong] * many]}),
        (FeedbackRequest, {"id": ID, "label": ["a", *[wrong] * many]}),
    ):
        said = problem(model, body)
        assert said is None or (said.count("expected") == 1 and "more" not in said)


def anything(rng: random.Random, depth: int = 0) -> Any:
    """Return a JSON value of any kind."""
    kinds = [None, True, False, 0, -1, 1.5, 10**400, float("inf"), float("nan"), "", " ", SECRET, SECRET * 5_000]
    kinds += ["\ud800", "\x00\n", ID, "1", "true", [], {}]
    if depth > 3 or rng.random() < 0.5:
        return rng.choice(kinds)
    if rng.random() < 0.6:
        return [anything(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {str(rng.choice(kinds)): anything(rng, depth + 1) for _ in range(rng.randrange(4))}


@pytest.mark.parametrize("model", [PredictRequest, FeedbackRequest])
def test_whatever_a_body_holds_the_line_is_short_plain_and_says_nothing_of_it(model) -> None:
    rng, described = random.Random(0), 0
    for _ in range(3_000):
        fields = {name: anything(rng) for name in model.model_fields if rng.random() < 0.5}
        said = problem(model, fields if rng.random() < 0.9 else anything(rng))
        if said is not None:
            described += 1
            assert 0 < len(said) <= CHARACTERS and said.isprintable()
            assert not INTERNALS.search(said), said
            assert SECRET not in said.partition("there is no field")[0]
    assert described > 2_000


def test_a_message_is_cut_to_a_line_that_can_be_encoded() -> None:
    assert one_line("a\r\n\tb\ud800") == "a b?"
    assert len(one_line("a" * 10_000)) == CHARACTERS
