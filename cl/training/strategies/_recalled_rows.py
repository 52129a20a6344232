"""What replay and DER share: each epoch sees all new rows and a fresh sample of the buffer."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.training.strategies._base import EpochRows, Update
from cl.training.strategies._rehearsal import Rehearsal


class RecalledRows(Rehearsal):
    """Base of the strategies that learn a random sample of the buffer with the new rows."""

    recalls: ClassVar[bool] = True

    ratio: float = Field(3.0, gt=0, description="Most replayed rows per new row in each epoch")

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows and a fresh sample of the buffer, at most ``ratio`` per new row; it is empty at first."""
        kept, lesson = update.state.rows, update.lesson
        if kept is None or kept.empty:
            return EpochRows(lesson.rows)
        size = min(len(kept), round(self.ratio * len(lesson.rows)))
        return EpochRows(lesson.rows, kept.iloc[sorted(lesson.rng.choice(len(kept), size=size, replace=False))])

    def expected_rows(self, new: int, past: int) -> int:
        """Return the size of the sample from a buffer that is as full as possible."""
        return min(self.rows, past, round(self.ratio * new))
