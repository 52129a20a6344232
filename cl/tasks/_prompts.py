"""What a language model reads and writes of a row: the tokens of the prompt, and those of the answer, which it learns.

Prompt and answer are tokenised apart, so that the model sees the same tokens before an answer in training and when it
answers. Of a conversation, what belongs to the assistant follows from rendering its beginnings: chat templates mark it
rarely, and transformers' own mask is silently empty where they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cl.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASSISTANT = "assistant"
Message = dict[str, str]
"""``role``: system, user or assistant; ``content``: what was said."""


@dataclass(frozen=True)
class PromptPart:
    """A part of what a language model reads, and whether it writes it itself."""

    text: str
    learned: bool


def render_chat(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase) -> list[PromptPart]:
    """Return a conversation as its chat template renders it, in parts: the assistant's own are learned.

    A conversation that ends with another role ends where the assistant is to answer.

    Raises:
        ConfigError: the template renders a beginning of the conversation otherwise than the whole, so that nobody can
            say which tokens are the assistant's.
    """
    parts, done = list[PromptPart](), ""
    turns = [index for index, message in enumerate(messages) if message["role"] == ASSISTANT]
    for turn in turns:
        prompt, whole = _render(messages[:turn], tokenizer, asks=True), _render(messages[: turn + 1], tokenizer)
        _check_prefix(done, prompt, tokenizer)
        _check_prefix(prompt, whole, tokenizer)
        parts += [PromptPart(prompt[len(done) :], False), PromptPart(whole[len(prompt) :], True)]
        done = whole
    if not turns or turns[-1] < len(messages) - 1:
        prompt = _render(messages, tokenizer, asks=True)
        _check_prefix(done, prompt, tokenizer)
        parts.append(PromptPart(prompt[len(done) :], False))
    return parts


def _render(messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, *, asks: bool = False) -> str:
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=asks))
    except Exception as error:  # a template may raise what it likes
        lines = str(error).strip().splitlines() or [""]
        raise ConfigError(f"{_named(tokenizer)}: its chat template fails: {lines[0][:200]}; {_REMEDY}") from None


def _check_prefix(before: str, after: str, tokenizer: PreTrainedTokenizerBase) -> None:
    if not after.startswith(before):
        raise ConfigError(
            f"{_named(tokenizer)}: its chat template renders the beginning of a conversation otherwise than the whole, "
            f"which does not show which tokens are the assistant's; {_REMEDY}"
        )


_REMEDY = "set template: plain under task in cl.yaml, or name another model"


def _named(tokenizer: PreTrainedTokenizerBase) -> str:
    return f"model.name '{str(tokenizer.name_or_path)[:100]}'"


def tokenise_parts(
    parts: Sequence[PromptPart], tokenizer: PreTrainedTokenizerBase, *, ends: bool
) -> tuple[list[int], list[bool]]:
    """Return the tokens of parts, one after the other, and which of them are learned.

    Args:
        parts: of a row.
        tokenizer: of the model.
        ends: whether a learned part ends with the token that ends texts; it does where a template puts it there.

    >>> from cl.testing import tiny_tokenizer
    >>> tokenise_parts([PromptPart("ab", False), PromptPart("c", True)], tiny_tokenizer(), ends=True)
    ([4, 5, 6, 1], [False, False, True, True])
    """
    ids, learned, end = list[int](), list[bool](), tokenizer.eos_token_id
    for part in parts:
        own: list[int] = tokenizer(part.text, add_special_tokens=False)["input_ids"]
        if part.learned and end in own:
            last = len(own) - own[::-1].index(end)
            ids, learned = ids + own, learned + [True] * last + [False] * (len(own) - last)
            continue
        own = [*own, end] if part.learned and ends and end is not None else own
        ids, learned = ids + own, learned + [part.learned] * len(own)
    return ids, learned


Template = Literal["auto", "chat", "plain"]


def parts_of(
    prompt: str, completion: str | None, tokenizer: PreTrainedTokenizerBase, *, template: Template, instruction: str
) -> list[PromptPart]:
    """Return the parts of a row: by the tokenizer's chat template, or the texts as they are.

    Args:
        prompt: what is asked.
        completion: the answer; None: it is to be written.
        tokenizer: of the model.
        template: auto: the chat template, if the tokenizer has one.
        instruction: is said before each prompt; empty: nothing is.

    Raises:
        ConfigError: the tokenizer has no chat template, or one that cannot be used.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if template == "chat" and not has_template:
        raise ConfigError(f"{_named(tokenizer)} has no chat template; {_REMEDY}")
    if template == "plain" or not has_template:
        asked = PromptPart(f"{instruction}\n{prompt}" if instruction else prompt, False)
        return [asked] if completion is None else [asked, PromptPart(completion, True)]
    messages = [{"role": "system", "content": instruction}] if instruction else []
    messages.append({"role": "user", "content": prompt})
    if completion is not None:
        messages.append({"role": ASSISTANT, "content": completion})
    return render_chat(messages, tokenizer)


def system_beginning(content: str, tokenizer: PreTrainedTokenizerBase, *, template: Template, plain: str) -> str:
    """Return the text with which a prompt under a system turn begins; empty: a template has no such turn of its own.

    Args:
        content: of the system turn.
        tokenizer: of the model.
        template: as for `parts_of`.
        plain: the beginning where there is no chat template.
    """
    if template == "plain" or not getattr(tokenizer, "chat_template", None):
        return plain
    try:
        return _render([{"role": "system", "content": content}], tokenizer)
    except ConfigError:
        return ""


def conversation_parts(
    messages: Sequence[Message], tokenizer: PreTrainedTokenizerBase, *, template: Template
) -> list[PromptPart]:
    """Return the parts of a conversation: by the tokenizer's chat template, or a line for each turn.

    >>> from cl.testing import tiny_tokenizer
    >>> talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    >>> [part.text for part in conversation_parts(talk, tiny_tokenizer(), template="auto")]
    ['user: hi\\nassistant: ', 'hello']

    Raises:
        ConfigError: the tokenizer has no chat template, or one that cannot be used.
    """
    has_template = bool(getattr(tokenizer, "chat_template", None))
    if template == "chat" and not has_template:
        raise ConfigError(f"{_named(tokenizer)} has no chat template; {_REMEDY}")
    if template != "plain" and has_template:
        return render_chat(messages, tokenizer)
    parts, before = list[PromptPart](), ""
    for message in messages:
        if message["role"] == ASSISTANT:
            parts += [PromptPart(f"{before}{ASSISTANT}: ", False), PromptPart(message["content"], True)]
            before = "\n"
        else:
            before += f"{message['role']}: {message['content']}\n"
    return parts if messages[-1]["role"] == ASSISTANT else [*parts, PromptPart(f"{before}{ASSISTANT}: ", False)]
