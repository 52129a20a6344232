from __future__ import annotations

import pytest

from cl.errors import ConfigError
from cl.tasks._prompts import PromptPart, parts_of, render_chat, tokenise_parts
from cl.testing import tiny_tokenizer

CHAT = (
    "{% for message in messages %}{{ message.role[0] }} {{ message.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}a {% endif %}"
)
"""Each message after the first letter of its role."""
FORGETS = "{% for message in messages[-1:] %}{{ message.content }}{% endfor %}"
"""A template that shows the last message only."""


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def shown(ids: list[int], learned: list[bool]) -> str:
    """The tokens, those that are learned in capitals; the end is a dot."""
    letters = tiny_tokenizer().convert_ids_to_tokens(ids)
    signs = [letter.replace("</s>", ".") for letter in letters]
    return "".join(sign.upper().replace(".", "!") if own else sign for sign, own in zip(signs, learned, strict=True))


def test_of_a_conversation_only_what_the_assistant_says_is_learned_with_its_end() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT)
    talk = [said("user", "hi"), said("assistant", "yes"), said("user", "why"), said("assistant", "so")]
    ids, learned = tokenise_parts(render_chat(talk, tokenizer), tokenizer, ends=True)
    assert shown(ids, learned) == "u hi.a YES!u why.a SO!"


def test_a_conversation_that_ends_with_a_question_ends_where_the_assistant_answers() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT)
    ids, learned = tokenise_parts(render_chat([said("user", "hi")], tokenizer), tokenizer, ends=True)
    assert shown(ids, learned) == "u hi.a " and not any(learned)


def test_what_is_read_before_an_answer_is_the_same_in_training_and_in_answering() -> None:
    for template, tokenizer in (("plain", tiny_tokenizer()), ("chat", tiny_tokenizer(chat_template=CHAT))):
        trained = parts_of("hi", "yes", tokenizer, template=template, instruction="be kind")
        asked = parts_of("hi", None, tokenizer, template=template, instruction="be kind")
        assert trained[:-1] == asked and trained[-1].learned


def test_without_a_template_the_answer_ends_with_the_token_that_ends_texts() -> None:
    tokenizer = tiny_tokenizer()
    parts = parts_of("ab", "cd", tokenizer, template="auto", instruction="")
    assert parts == [PromptPart("ab", False), PromptPart("cd", True)]
    assert shown(*tokenise_parts(parts, tokenizer, ends=True)) == "abCD!"


def test_what_a_template_puts_after_the_end_of_an_answer_is_not_learned() -> None:
    tokenizer = tiny_tokenizer(chat_template=CHAT.replace("</s>", "</s> "))
    parts = render_chat([said("user", "hi"), said("assistant", "yes")], tokenizer)
    assert shown(*tokenise_parts(parts, tokenizer, ends=True)) == "u hi. a YES! "


@pytest.mark.parametrize("template", [FORGETS, "{{ raise_exception('no system role') }}"])
def test_a_template_that_does_not_show_what_is_the_assistants_is_refused_by_the_models_name(template) -> None:
    tokenizer = tiny_tokenizer(chat_template=template)
    with pytest.raises(ConfigError, match=r"model\.name 'tiny': its chat template .*template: plain"):
        parts_of("hi", "yes", tokenizer, template="auto", instruction="be kind")


def test_a_model_without_a_template_is_refused_where_one_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"model\.name 'tiny' has no chat template"):
        parts_of("hi", "yes", tiny_tokenizer(), template="chat", instruction="")
