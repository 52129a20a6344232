"""Answers in a given form, a JSON schema or a list of choices: which tokens may come next, by llguidance.

llguidance (MIT) is a single file without dependencies. It compiles a grammar as the answer is written, so that no
schema takes long before the first token.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import torch

from cl.errors import InputError
from cl.extras import require
from cl.models.decoding import Matcher
from cl.models.learner import Learner

PACKAGE = "llguidance"
COMPACT = {"whitespace_flexible": False}
"""JSON without blanks between its parts: a model could write them without end."""


class FormError(InputError):
    """No answer can be written in this form."""


@dataclass(frozen=True)
class AnswerForm:
    """What an answer must be: JSON that matches a schema, or one of several texts; exactly one of them is given."""

    schema: dict[str, Any] | None = None
    choices: tuple[str, ...] = ()

    @cached_property
    def grammar(self) -> str:
        """The grammar of such answers; compiling it may take a moment.

        Raises:
            FormError: no answer can be written in this form, or an extra is not installed.
        """
        return choice_grammar(self.choices) if self.schema is None else schema_grammar(self.schema)

    def compile(self) -> None:
        """Compile the grammar, so that `grammar` is there at once.

        Raises:
            FormError: as `grammar`.
        """
        _ = self.grammar


def schema_grammar(schema: dict[str, Any]) -> str:
    """Return the grammar of JSON that matches a schema.

    Raises:
        FormError: the schema is wrong, or uses what is not supported.
    """
    matcher = _matcher_class()
    return _checked(matcher.grammar_from_json_schema(json.dumps(schema), defaults=COMPACT))


def choice_grammar(choices: Sequence[str]) -> str:
    """Return the grammar of answers that are one of several texts.

    Raises:
        FormError: there is none.
    """
    texts = [json.dumps(choice, ensure_ascii=False) for choice in choices]
    return _checked(_matcher_class().grammar_from_lark(f"start: {' | '.join(texts)}"))


class Matchers:
    """Makes what holds answers to a grammar; a tokenizer is read once, which takes up to a second."""

    def __init__(self) -> None:
        self._tokenizers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def of(self, learner: Learner, grammar: str) -> Matcher:
        """Return the matcher of one answer.

        Raises:
            FormError: the model's tokenizer does not say which text each of its tokens is.
        """
        tokenizer = learner.tokenizer
        if tokenizer not in self._tokenizers:
            self._tokenizers[tokenizer] = _read_tokenizer(learner)
        return _GrammarMatcher(_matcher_class()(self._tokenizers[tokenizer], grammar))


class _GrammarMatcher:
    """The tokens that one answer may have."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits with minus infinity where a token would break the form."""
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = (bits.unsqueeze(1) >> torch.arange(8, dtype=torch.uint8) & 1).flatten()[: len(logits)].bool()
        kept = torch.zeros(len(logits), dtype=torch.bool)
        kept[: len(allowed)] = allowed
        return logits.masked_fill(~kept.to(logits.device), float("-inf"))

    def take(self, token: int) -> None:
        """Take the token that was chosen."""
        self._matcher.try_consume_tokens([token])


def _matcher_class() -> Any:
    require("response_format, or guided_choice,", PACKAGE, error=FormError)
    return import_module(PACKAGE).LLMatcher


def _checked(grammar: str) -> str:
    if problem := _matcher_class().validate_grammar(grammar):
        raise FormError(f"no answer can be written in this form: {problem.splitlines()[0][:200]}")
    return grammar


def _read_tokenizer(learner: Learner) -> Any:
    size = max(len(learner.tokenizer), learner.encoder.config.vocab_size)
    try:
        return import_module(f"{PACKAGE}.hf").from_tokenizer(learner.tokenizer, n_vocab=size, eos_token=learner.ends)
    except ValueError as error:
        why = str(error).splitlines()[0][:120]
        raise FormError(
            f"the answers of this model cannot be held to a form: its tokenizer does not fit: {why}"
        ) from None
