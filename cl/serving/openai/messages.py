"""What a conversation is as an input of the task: its only message, or all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cl.serving.errors import RequestError
from cl.serving.openai.schemas import ChatMessage
from cl.tasks import Task, ValueKind


def input_of_chat(messages: Sequence[ChatMessage], task: Task) -> Any:
    """Return a conversation as an input, as `ServedModel.encode` takes it.

    Raises:
        RequestError: the task answers a prompt, and the conversation is more than that; or it asks for no answer.
    """
    column = task.schema.input
    if column is not None and column.kind is ValueKind.MESSAGES:
        if messages[-1].role != "user":
            raise RequestError(422, f"messages: the last is of role {messages[-1].role!r}; end with one of role 'user'")
        roles = {"developer": "system"}
        return [{"role": roles.get(turn.role, turn.role), "content": turn.text} for turn in messages]
    if len(messages) == 1 and messages[0].role == "user":
        return input_of_prompt(messages[0].text, task)
    raise RequestError(
        422, "messages: this project answers a prompt under an instruction of its own; send a single user message"
    )


def input_of_prompt(prompt: str, task: Task) -> Any:
    """Return a prompt as an input, as `ServedModel.encode` takes it.

    Raises:
        RequestError: the task has other inputs.
    """
    column = task.schema.input
    if column is None or column.kind is not ValueKind.TEXT:
        raise RequestError(422, f"this project reads {', '.join(task.schema.input_names)}; send them to /predict")
    return prompt
