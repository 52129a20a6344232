"""Joint training on all rows so far: the upper bound in quality and in cost."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.training.strategies import EpochRows, Strategy, Update


class Joint(Strategy):
    """Train on the new rows and all past training rows in every epoch.

    >>> Joint().expected_rows(new=10, past=90)  # every past row, in each epoch
    90
    """

    recalls: ClassVar[bool] = True
    keeps_past: ClassVar[bool] = True

    restart: bool = Field(False, description="Start every update from the pretrained weights, not from the champion")

    def restarts(self) -> bool:
        """Return whether every update starts from the pretrained weights."""
        return self.restart

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows and all training rows of past experiences."""
        past = update.lesson.past()
        return EpochRows(update.lesson.rows, past if len(past) else None)

    def expected_rows(self, new: int, past: int) -> int:
        """Return the number of past rows."""
        return past
