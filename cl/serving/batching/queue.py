"""The queue of rows to compute, and when each is due."""

from __future__ import annotations

import asyncio
import bisect
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import Role
from cl.tasks import Encoded

LETTERS, COUNTED = 4, 512
"""Approximate characters per token, and the characters that count towards a row's cost, as the model truncates it."""
CHARACTERS = 65_536
"""Most characters tokenised at once, which bounds the time to about that of one batch."""


@dataclass(eq=False)
class PendingRequest:
    """One request or a copy of one. ``loaded`` is chosen with its first row and answers all of them."""

    values: list[Any]
    role: Role
    future: asyncio.Future[None]
    asked: float = field(default_factory=time.monotonic)
    """When it arrived, in monotonic seconds."""
    loaded: ServedModel | None = None
    answers: dict[int, RowAnswer] = field(default_factory=dict)
    seconds: float = 0.0
    """Compute time of all batches that held its rows."""
    failed: str | None = None
    """The canary version that failed, so that the champion answered instead."""


@dataclass(eq=False)
class PendingRow:
    """One row of a request."""

    job: PendingRequest
    index: int
    due: float
    encoded: Encoded | None = None
    alone: bool = False

    @property
    def value(self) -> Any:
        """The value of a single input, or a mapping from the names of several."""
        return self.job.values[self.index]

    @property
    def characters(self) -> int:
        """The number of characters still to tokenise."""
        return 0 if self.encoded else characters_in(self.value)


class RequestQueue:
    """Waiting rows, ordered by due time.

    Each row of a request is due when the rows before it should be done, estimated from their length, so that a request
    with one text does not wait for all the texts of another (fair queueing: Demers, Keshav and Shenker, 1989).
    """

    def __init__(self) -> None:
        self.rows: list[PendingRow] = []

    def add(self, job: PendingRequest, now: float, tokens_per_second: float) -> None:
        """Add the rows of a request, with due times at the current speed."""
        due = now
        for index in range(len(job.values)):
            row = PendingRow(job, index, due)
            bisect.insort(self.rows, row, key=lambda row: row.due)
            due += (2 + min(row.characters, COUNTED) / LETTERS) / tokens_per_second

    def head(self, most: int) -> list[PendingRow]:
        """Return the rows to compute next, all by one version, ordered by due time."""
        first = self.rows[0]
        if first.alone:
            return [first]
        chosen: list[PendingRow] = []
        characters = 0
        for row in self.rows:
            if row.job.loaded is first.job.loaded and not row.alone:
                characters += row.characters
                if chosen and characters > CHARACTERS:
                    break
                chosen.append(row)
                if len(chosen) == most:
                    break
        return chosen

    def take(self, rows: list[PendingRow]) -> None:
        """Remove rows."""
        taken = set(map(id, rows))
        self.rows = [row for row in self.rows if id(row) not in taken]

    def drop(self, job: PendingRequest) -> None:
        """Remove all rows of a request."""
        self.rows = [row for row in self.rows if row.job is not job]


def characters_in(value: Any) -> int:
    """Return how many characters a value has that are tokenised: a text, a list of words, or several inputs by name."""
    if isinstance(value, str):
        return len(value)
    parts = value.values() if isinstance(value, dict) else value
    return sum(map(characters_in, parts)) if isinstance(parts, Iterable) else 0
