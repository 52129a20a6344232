"""Rows of one model that are written together, as the engine's thread sees them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from cl.errors import PerennialError
from cl.models.inference import require_finite
from cl.models.running_rows import RunningRows, running_rows
from cl.serving.writing.rows import WrittenRow


class TimeLimitError(PerennialError):
    """An answer took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the answer took longer than {seconds:g} s (serve.writing.seconds); try again later")


@dataclass(frozen=True)
class Progress:
    """What a step did for one row: text that is sure now, or why the row cannot be answered."""

    row: WrittenRow
    text: str = ""
    error: Exception | None = None


@dataclass(eq=False)
class WritingGroup:
    """Rows that share each step of a model, in the order in which they have joined; versions may differ."""

    running: RunningRows
    rows: list[WrittenRow] = field(default_factory=list)

    @classmethod
    def of(cls, row: WrittenRow) -> WritingGroup:
        """Return a group for a row and others of its model; none has joined."""
        return cls(running_rows(row.request.loaded.learner))

    def takes(self, row: WrittenRow) -> bool:
        """Return whether a row may join those that have begun."""
        return self.running.takes_more and self.running.model is row.request.loaded.learner.encoder

    def drop_ended(self) -> None:
        """Drop the rows that are complete, or that nobody waits for."""
        kept = [index for index, row in enumerate(self.rows) if not row.has_ended]
        self.running.keep(kept)
        self.rows = [self.rows[index] for index in kept]

    def join(self, rows: Sequence[WrittenRow], limit: float) -> list[Progress]:
        """Read the prompts of rows and write their first tokens; a row that cannot be read does not join."""
        started = time.perf_counter()
        try:
            logits = self.running.join([row.prompt for row in rows], [row.request.loaded.update for row in rows])
        except Exception as error:
            if len(rows) > 1:  # perhaps a single row is to blame
                return [progress for row in rows for progress in self.join([row], limit)]
            return [Progress(rows[0], error=error)]
        self.rows += rows
        return list(_take(rows, logits, started, limit, forced=self.running.first_token))

    def step(self, limit: float) -> list[Progress]:
        """Write a token of every row.

        Args:
            limit: seconds from a request to the end of its answer.
        """
        started = time.perf_counter()
        try:
            logits = self.running.step([row.tokens[-1] for row in self.rows])
        except Exception as error:
            failed, self.rows = self.rows, []
            self.running.keep([])
            return [Progress(row, error=error) for row in failed]
        return list(_take(self.rows, logits, started, limit))


def _take(
    rows: Sequence[WrittenRow], logits: torch.Tensor, started: float, limit: float, forced: int | None = None
) -> Iterator[Progress]:
    """Choose a token of each row from logits (rows, vocabulary), and yield what came of it."""
    likeliest, sums = logits.argmax(-1).tolist(), logits.logsumexp(-1).tolist()
    seconds = time.perf_counter() - started
    for request in {id(row.request): row.request for row in rows}.values():
        request.seconds += seconds
    for row, own, best, total in zip(rows, logits, likeliest, sums, strict=True):
        try:
            require_finite(row.request.loaded.version, [total])
            token, text = row.take(own, best, forced=forced)
            row.weigh(float(own[token]) - total)
            if row.finish is None and time.monotonic() > row.request.asked + limit:
                row.end_at_limit(TimeLimitError(limit))
            yield Progress(row, text + row.end() if row.finish else text)
        except Exception as error:
            row.dropped = True
            yield Progress(row, error=error)


def seconds_to_retry(waiting: int, seconds_per_row: float) -> int:
    """Return after how many seconds a request that finds the queue full may come again."""
    return max(1, math.ceil(waiting * seconds_per_row))
