"""What waits to be computed: the rows of a request, and when each is due."""

from __future__ import annotations

import asyncio
import bisect
import time
from dataclasses import dataclass, field
from typing import Any

from cl.serving.served_model import RowAnswer, ServedModel
from cl.serving.traffic_split import Role
from cl.tasks import Encoded

LETTERS, COUNTED = 4, 512
"""Characters of a token, about, and those of a text that count, for a model cuts it: what a row will cost, roughly."""
CHARACTERS = 65_536
"""Characters that are tokenised in one go at most: the time of one batch, and no more."""


@dataclass(eq=False)
class PendingRequest:
    """One request, or a copy of one. ``loaded`` is chosen with its first row and answers all of them."""

    values: list[Any]
    role: Role
    future: asyncio.Future[None]
    asked: float = field(default_factory=time.monotonic)
    """When it came, in monotonic seconds."""
    loaded: ServedModel | None = None
    answers: dict[int, RowAnswer] = field(default_factory=dict)
    seconds: float = 0.0
    """Of computing, the batches of its rows as a whole."""
    failed: str | None = None
    """The canary's version that could not answer, so that the champion did."""


@dataclass(eq=False)
class PendingRow:
    """One text of a job."""

    job: PendingRequest
    place: int
    due: float
    encoded: Encoded | None = None
    alone: bool = False

    @property
    def value(self) -> Any:
        """The text, or the list of tokens."""
        return self.job.values[self.place]

    @property
    def characters(self) -> int:
        """How much there is to tokenise still."""
        return 0 if self.encoded else len(self.value) if isinstance(self.value, str) else sum(map(len, self.value))


class RequestQueue:
    """Rows that wait, the one that is due first in front.

    Each row of a request is due when those before it could be done, by their length, so that a request with one text
    does not wait for all the texts of another (fair queueing: Demers, Keshav and Shenker, 1989).
    """

    def __init__(self) -> None:
        self.rows: list[PendingRow] = []

    def add(self, job: PendingRequest, now: float, tokens_per_second: float) -> None:
        """Let the rows of a job wait; the speed is that of these days."""
        due = now
        for place in range(len(job.values)):
            row = PendingRow(job, place, due)
            bisect.insort(self.rows, row, key=lambda row: row.due)
            due += (2 + min(row.characters, COUNTED) / LETTERS) / tokens_per_second

    def head(self, most: int) -> list[PendingRow]:
        """Return the rows that may be computed next, by one version, the one that is due first in front."""
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
        """Take rows out."""
        gone = set(map(id, rows))
        self.rows = [row for row in self.rows if id(row) not in gone]

    def drop(self, job: PendingRequest) -> None:
        """Take all rows of a job out."""
        self.rows = [row for row in self.rows if row.job is not job]
