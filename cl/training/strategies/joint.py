"""Training on everything seen so far: the upper end in quality, and in cost."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
from pydantic import Field

from cl.training.strategies import Strategy, Update


class Joint(Strategy):
    """Learns the new rows together with all training rows of the past, in every epoch."""

    keeps_past: ClassVar[bool] = True

    restart: bool = Field(False, description="Start every update from the pretrained weights, not from the champion")

    def restarts(self) -> bool:
        """Tell whether the champion's weights are left behind."""
        return self.restart

    def recall(self, update: Update) -> pd.DataFrame | None:
        """Return all training rows of the experiences learnt before."""
        past = update.lesson.past()
        return past if len(past) else None

    def expects(self, new: int, past: int) -> int:
        """Return all rows of the past."""
        return past
