"""Answers in a given form: JSON that matches a schema, or one of several texts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.serving_shop import Server, serving
from tests.support.writing_shop import made_writing_shop

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["card", "loan"]},
        "amount": {"type": "integer", "minimum": 0, "maximum": 99},
        "urgent": {"type": "boolean"},
    },
    "required": ["kind", "amount", "urgent"],
    "additionalProperties": False,
}
CHOICES = ["yes", 'no, "never"', "mañana", "a long answer"]
is_installed = importlib.util.find_spec("llguidance") is not None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    shop = made_writing_shop(tmp_path_factory.mktemp("forms") / "shop", None, serve={})
    shop.promote("1")
    with serving(shop) as server:
        server.champion_is("1")
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=60) as client:
        yield client


def ask(client: openai.OpenAI, prompt: str = "what do you want?", **options: Any) -> Any:
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.create(model="shop", messages=messages, max_tokens=100, **options)


def schema_of(schema: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "request", "schema": schema, "strict": True}}


@pytest.mark.skipif(not is_installed, reason="the extra guided is not installed")
@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_an_answer_matches_its_schema_whatever_the_model_would_say(client, temperature) -> None:
    for seed in range(5):
        options = {"temperature": temperature, "seed": seed}
        answer = ask(client, response_format=schema_of(SCHEMA), **options)
        content = json.loads(answer.choices[0].message.content)
        assert content.keys() == SCHEMA["properties"].keys()
        assert content["kind"] in ("card", "loan") and 0 <= content["amount"] <= 99
        assert isinstance(content["urgent"], bool)
        assert answer.choices[0].finish_reason == "stop"


@pytest.mark.skipif(not is_installed, reason="the extra guided is not installed")
def test_an_answer_is_one_of_the_choices_also_in_a_stream(client) -> None:
    said = set()
    for seed in range(12):
        options = {"temperature": 2.0, "seed": seed, "extra_body": {"guided_choice": CHOICES}}
        whole = ask(client, **options).choices[0].message.content
        pieces = [chunk.choices[0].delta.content or "" for chunk in ask(client, stream=True, **options)]
        assert "".join(pieces) == whole
        said.add(whole)
    assert said <= set(CHOICES) and len(said) > 1


@pytest.mark.skipif(not is_installed, reason="the extra guided is not installed")
def test_an_answer_without_a_form_is_written_in_the_same_steps_as_one_with_it(client) -> None:
    plain = ask(client).choices[0].message.content
    ask(client, response_format={"type": "json_object"}, stream=True).close()
    assert ask(client).choices[0].message.content == plain
    assert ask(client, response_format={"type": "text"}).choices[0].message.content == plain


@pytest.mark.skipif(not is_installed, reason="the extra guided is not installed")
@pytest.mark.parametrize(
    ("form", "message"),
    [
        (schema_of({"type": "nonsense"}), "no answer can be written in this form: Invalid type"),
        (schema_of({"not": {"type": "string"}}), "no answer can be written in this form"),
        ({"type": "json_schema"}, "json_schema belongs to the type json_schema"),
    ],
)
def test_a_form_that_nothing_can_be_written_in_is_refused(client, form, message) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        ask(client, response_format=form)


@pytest.mark.skipif(is_installed, reason="the extra guided is installed")
def test_without_the_extra_a_form_is_refused_with_the_command_that_installs_it(client) -> None:
    with pytest.raises(openai.BadRequestError, match=r"needs llguidance: pip install 'perennial-ml\[guided\]'"):
        ask(client, response_format=schema_of(SCHEMA))
    assert ask(client).choices[0].message.content


def test_two_forms_at_once_are_refused(client) -> None:
    with pytest.raises(openai.BadRequestError, match="response_format or guided_choice, not both"):
        ask(client, response_format={"type": "json_object"}, extra_body={"guided_choice": CHOICES})
