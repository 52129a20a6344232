"""The bodies of OpenAI's responses: a whole answer, the chunks of a stream, and the models."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from cl.serving.openai.schemas import Usage
from cl.serving.writing.rows import WrittenRow


@dataclass(frozen=True)
class AnswerBody:
    """The bodies of an answer to one request, whole or in chunks.

    ``chat``: it continues a conversation. ``model`` names the version, and ``fingerprint`` its base.
    """

    id: str
    model: str
    fingerprint: str
    chat: bool
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, row: WrittenRow, text: str) -> bytes:
        """Return the body of a complete answer."""
        said: dict[str, Any] = {"message": {"role": "assistant", "content": text, "refusal": None}}
        choice = {"index": 0, **(said if self.chat else {"text": text}), "logprobs": None, "finish_reason": row.finish}
        kind = "chat.completion" if self.chat else "text_completion"
        return to_json({**self._head(kind), "choices": [choice], "usage": usage_of(row).model_dump()})

    def first(self) -> bytes:
        """Return the event that opens a stream: a conversation's says who speaks."""
        return self._chunk({"role": "assistant", "content": ""}, "", None) if self.chat else b""

    def piece(self, text: str) -> bytes:
        """Return the event with a piece of the text."""
        return self._chunk({"content": text}, text, None) if text else b""

    def last(self, row: WrittenRow) -> bytes:
        """Return the event that says why the answer has ended."""
        return self._chunk({}, "", row.finish)

    def counts(self, row: WrittenRow) -> bytes:
        """Return the event with the counts of tokens."""
        return event(to_json({**self._head(self._stream), "choices": [], "usage": usage_of(row).model_dump()}))

    @property
    def _stream(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _chunk(self, delta: dict[str, str], text: str, finish: str | None) -> bytes:
        said: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        return event(to_json({**self._head(self._stream), "choices": [choice]}))

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
        }


DONE = b"data: [DONE]\n\n"
"""The event that ends a stream."""


def event(content: bytes) -> bytes:
    """Return a server-sent event."""
    return b"data: " + content + b"\n\n"


def usage_of(row: WrittenRow) -> Usage:
    """Return the counts of a row's tokens."""
    read, written = len(row.prompt), len(row.tokens)
    return Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def model_body(name: str, versions: dict[str, str]) -> dict[str, Any]:
    """Return what a list of models says of a project: its name, and which version has each role."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "perennial", "versions": versions}
