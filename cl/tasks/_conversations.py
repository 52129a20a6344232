"""Conversations: a list of turns, each with a role and what was said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

ROLES = ("system", "user", "assistant")


def as_turns(value: Any) -> list[dict[str, str]]:
    """Return a conversation as it was read from a file, a store or a request, with nothing but roles and contents."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in value]


def conversation_problem(value: Any, *, asks: bool = True) -> str | None:
    """Return why a value is no conversation that can be answered; None: it is one.

    >>> conversation_problem([{"role": "user", "content": "hi"}])
    >>> conversation_problem([{"role": "human", "content": "hi"}])
    'a role that is not system, user or assistant'

    Args:
        value: of any type.
        asks: it must not end with a turn of the assistant, who is asked.
    """
    if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
        return "no list of turns with role and content"
    turns = list(value)
    if any(not isinstance(turn, Mapping) or not {"role", "content"} <= turn.keys() for turn in turns):
        return "no list of turns with role and content"
    if any(turn["role"] not in ROLES for turn in turns):
        return "a role that is not system, user or assistant"
    if any(not isinstance(turn["content"], str) or not turn["content"].strip() for turn in turns):
        return "a turn without content"
    if not any(turn["role"] == "user" for turn in turns):
        return "no turn of the user"
    if any(turn["role"] == "system" for turn in turns[1:]):
        return "a turn of the system that is not the first"
    return "it ends with a turn of the assistant" if asks and turns[-1]["role"] == "assistant" else None
