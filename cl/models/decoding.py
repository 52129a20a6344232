"""How one answer is written: which token comes next, which text the tokens are so far, and where it stops."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

HALF = "\N{REPLACEMENT CHARACTER}"
"""Stands at the end of a text for bytes of a character that is not complete."""


class Matcher(Protocol):
    """What tokens an answer in a given form may have next; one for each answer."""

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Return logits (vocabulary,) with minus infinity where a token would break the form."""

    def take(self, token: int) -> None:
        """Take the token that was chosen."""


@dataclass(frozen=True)
class Decoding:
    """How an answer is written.

    ``max_new_tokens``: None: as many as the task allows. ``temperature`` 0 is greedy; else tokens are drawn from the
    most probable ones that together have the probability ``top_p``, by ``seed``, or one that nobody knows. A text ends
    before the first of the ``stop`` strings.
    """

    max_new_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Choosing:
    """Chooses the tokens of one answer that is not simply greedy.

    >>> choosing = Choosing(Decoding(temperature=1.0, seed=3))
    >>> choosing.choose(torch.tensor([0.0, 50.0, 0.0]))
    1
    """

    def __init__(self, decoding: Decoding, matcher: Matcher | None = None) -> None:
        self._decoding, self._matcher = decoding, matcher
        self._generator = torch.Generator()
        if decoding.temperature:
            seed = decoding.seed if decoding.seed is not None else int.from_bytes(os.urandom(7))
            self._generator.manual_seed(seed)

    def choose(self, logits: torch.Tensor) -> int:
        """Return the next token, from logits (vocabulary,)."""
        if self._matcher is not None:
            logits = self._matcher.mask(logits)
        token = self._draw(logits) if self._decoding.temperature else int(logits.argmax())
        if self._matcher is not None:
            self._matcher.take(token)
        return token

    def _draw(self, logits: torch.Tensor) -> int:
        chances, tokens = (logits.cpu() / self._decoding.temperature).softmax(-1).sort(descending=True, stable=True)
        kept = max(1, int((chances.cumsum(-1) - chances < self._decoding.top_p).sum()))
        drawn = torch.multinomial(chances[:kept], 1, generator=self._generator)
        return int(tokens[drawn])


class GrowingText:
    """The text of an answer while its tokens come, without blanks around it.

    What `add` returns stays as it is: a part of a character, a blank that may be the last, or the beginning of a stop
    string waits for what follows. Only the newest tokens are decoded, after those before them, which tell a tokenizer
    whether a word begins: a long answer takes no longer a token than a short one.

    Args:
        decode: returns the text of tokens.
        stop: strings before the first of which the text ends.

    >>> text = GrowingText(lambda tokens: "".join(map(chr, tokens)), stop=["END"])
    >>> [text.add(ord(letter)) for letter in " a b E ENDc"]
    ['', 'a', '', ' b', '', '', ' E', '', '', '', '']
    >>> text.end(), text.whole, text.stopped
    ('', 'a b E', True)
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode, self._stop = decode, stop
        self._tokens: list[int] = []
        self._context, self._read, self._text = 0, 0, ""
        """Where the tokens begin that are decoded again, where they end whose text is known, and that text."""
        self.whole = ""
        """What has been returned so far."""
        self.stopped = False
        """Whether a stop string came."""

    def add(self, token: int) -> str:
        """Take the next token and return what is now sure of the text, beyond what was returned before."""
        self._tokens.append(token)
        if self.stopped:
            return ""
        text = self._stop_at(self._grown().lstrip())
        if self.stopped:
            return self._return(text.rstrip())
        return self._return(text[: len(text) - self._unsure(text)].rstrip(f"{HALF} \n\t\r\f\v"))

    def end(self) -> str:
        """Return the rest of the text, after the last token."""
        return "" if self.stopped else self._return(self._stop_at(self._decode(self._tokens).strip()))

    def _grown(self) -> str:
        """Return the text of all tokens, and remember it unless it ends within a character."""
        before = self._decode(self._tokens[self._context : self._read])
        after = self._decode(self._tokens[self._context :])
        text = self._text + after[len(before) :]
        if len(after) > len(before) and not after.endswith(HALF):
            self._text, self._context, self._read = text, self._read, len(self._tokens)
        return text

    def _stop_at(self, text: str) -> str:
        """Return a text up to the first stop string."""
        ends = [index for index in map(text.find, self._stop) if index >= 0]
        self.stopped = bool(ends)
        return text[: min(ends)] if ends else text

    def _unsure(self, text: str) -> int:
        """Return how many characters at the end may be the beginning of a stop string."""
        lengths = (length for stop in self._stop for length in range(1, len(stop)) if text.endswith(stop[:length]))
        return max(lengths, default=0)

    def _return(self, text: str) -> str:
        """Return what a text has beyond the whole so far; nothing where a tokenizer now writes that otherwise."""
        if not text.startswith(self.whole):
            return ""
        new, self.whole = text[len(self.whole) :], text
        return new
