"""The rows that are written: which request each belongs to, what it has written, and why it has ended."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np

from cl.models.decoding import Choosing, Decoding, GrowingText, Matcher
from cl.models.grammar import AnswerForm
from cl.models.learner import Learner
from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import RequestAnswer, Role

Finish = Literal["stop", "length"]
END = None
"""What a stream gets after its last piece of text."""


@dataclass(eq=False)
class WritingRequest:
    """One request or a copy of one: ``loaded`` writes the answers to all its values.

    ``pieces`` gets the text as it comes, then `END`; None: nobody reads along.
    """

    values: list[Any]
    role: Role
    loaded: ServedModel
    decoding: Decoding = field(default_factory=Decoding)
    form: AnswerForm | None = None
    """What the answers must be; None: any text."""
    may_end_early: bool = False
    """Whether an answer that takes too long is returned as far as it was written."""
    is_copy: bool = False
    pieces: asyncio.Queue[str | None] | None = None
    asked: float = field(default_factory=time.monotonic)
    """When it arrived, in monotonic seconds."""
    seconds: float = 0.0
    """Duration of all steps that wrote for it."""
    failed: str | None = None
    """The canary version that failed, so that the champion answers instead."""
    handed_out: bool = False
    """Whether a part of the answer has been handed out, so that no other version may go on."""
    gone: bool = False
    """Whether nobody waits for the answer."""

    def __post_init__(self) -> None:
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rows = [WrittenRow(self, value) for value in self.values]

    def begin_again(self, role: Role, loaded: ServedModel) -> None:
        """Let another version answer; nothing of the answer has been handed out."""
        self.role, self.loaded = role, loaded
        self.rows = [WrittenRow(self, value) for value in self.values]

    def answer(self) -> RequestAnswer:
        """Return the answers to all its values, which are complete."""
        answers = [row.answer() for row in self.rows]
        return RequestAnswer(self.loaded, self.role, answers, self.seconds, self.failed)

    def settle(self, error: Exception | None = None) -> None:
        """Tell who waits that all rows have ended, or that they never will."""
        if not self.future.done():
            self.future.set_result(None) if error is None else self.future.set_exception(error)
        if self.pieces is not None:
            self.pieces.put_nowait(END)


class WrittenRow:
    """One row: its prompt, the tokens written so far, and the text they are; the engine's thread writes it."""

    def __init__(self, request: WritingRequest, value: Any) -> None:
        self.request, self.value, self.id = request, value, str(uuid.uuid4())
        self.prompt: list[int] = []
        self.tokens: list[int] = []
        self.finish: Finish | None = None
        self.dropped = False
        """Whether nobody waits for it any more."""
        self._logs: list[float] = []
        self._text = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is written of it."""
        return self.finish is not None or self.dropped or self.request.gone

    def read(self, prompt: list[int], matcher: Matcher | None = None) -> None:
        """Take the tokens of the prompt, and prepare to write; ``matcher`` knows which tokens fit the answer's form."""
        learner, decoding = self.request.loaded.learner, self.request.decoding
        self.prompt, tokenizer = prompt, learner.tokenizer
        wanted = decoding.max_new_tokens or learner.task.most_new_tokens
        self.limit = int(max(1, min(wanted, _room(learner, prompt))))
        self._decode = partial(_decode, tokenizer)
        plain = not decoding.temperature and matcher is None
        self._choosing = None if plain else Choosing(decoding, matcher)
        grows = self.request.pieces is not None or decoding.stop
        self._growing = GrowingText(self._decode, decoding.stop) if grows else None

    def take(self, logits: Any, likeliest: int, *, forced: int | None) -> tuple[int, str]:
        """Choose the next token, and return it with the text that is now sure.

        Args:
            logits: of the tokens (vocabulary,).
            likeliest: the token with the highest.
            forced: the token that comes whatever the logits are; None: there is none.
        """
        token = likeliest if self._choosing is None else self._choosing.choose(logits)
        token = token if forced is None else forced
        return token, self.add(token)

    def add(self, token: int) -> str:
        """Take the next token, and return the text that is now sure."""
        self.tokens.append(token)
        text = self._growing.add(token) if self._growing else ""
        if token in self.request.loaded.learner.ends or (self._growing is not None and self._growing.stopped):
            self.finish = "stop"
        elif len(self.tokens) >= self.limit:
            self.finish = "length"
        return text

    def weigh(self, log: float) -> None:
        """Take the logarithm of the last token's probability."""
        self._logs.append(log)

    def end_at_limit(self, error: Exception) -> None:
        """End before the answer is complete, as its time is over.

        Raises:
            Exception: the error given, where only a complete answer will do.
        """
        if not self.request.may_end_early:
            raise error
        self.finish = "length"

    def end(self) -> str:
        """Complete the text, and return what of it has not been returned; runs once, after the last token."""
        if self._growing is None:
            self._text = self._decode(self.tokens).strip()
            return ""
        rest = self._growing.end()
        self._text = self._growing.whole
        return rest

    def answer(self) -> RowAnswer:
        """Return the answer; its only probability is its confidence."""
        confidence = float(np.exp(np.mean(self._logs)))
        return RowAnswer(self._text, confidence, np.array([[confidence]]), None, self.id)


def _decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True))


def _room(learner: Learner, prompt: list[int]) -> float:
    """Return how many positions a model has after a prompt; infinity: it does not say."""
    positions = getattr(learner.encoder.config, "max_position_embeddings", None)
    return math.inf if positions is None or learner.has_decoder else positions - len(prompt)
