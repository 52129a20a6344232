"""Experience replay: rehearse past rows from a bounded buffer together with the new ones."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.heavy import pd
from cl.training.strategies._base import EpochRows, Update
from cl.training.strategies._rehearsal import Rehearsal


class Replay(Rehearsal):
    """Rehearse past rows in every epoch (ER; Chaudhry et al., 2019, "On Tiny Episodic Memories").

    Each epoch sees all new rows and a fresh sample of the buffer. The paper draws one replayed row for each new
    one; ``ratio`` is that proportion, and a buffer smaller than the sample is used whole.

    >>> Replay(rows=100, ratio=3.0).expected_rows(new=10, past=1000)  # rows of the buffer that an epoch adds
    30
    """

    recalls: ClassVar[bool] = True

    ratio: float = Field(3.0, gt=0, description="Most replayed rows per new row in each epoch")

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows and a fresh sample of the buffer, which is empty at first."""
        return EpochRows(update.lesson.rows, rehearse(update, self.ratio))

    def expected_rows(self, new: int, past: int) -> int:
        """Return the size of the sample from a buffer that is as full as possible."""
        return min(self.rows, past, round(self.ratio * new))


def rehearse(update: Update, ratio: float) -> pd.DataFrame | None:
    """Return a random sample of a state's rows, at most ``ratio`` per new row, or None if it has no rows."""
    rows, lesson = update.state.rows, update.lesson
    if rows is None or rows.empty:
        return None
    size = min(len(rows), round(ratio * len(lesson.rows)))
    return rows.iloc[sorted(lesson.rng.choice(len(rows), size=size, replace=False))]
