"""Training on everything seen so far: the upper end in quality, and in cost."""

from __future__ import annotations

import pandas as pd

from cl.strategies import Lesson, State, Strategy


class Joint(Strategy):
    """Learns the new rows together with all training rows of the past, in every epoch."""

    def recall(self, state: State, lesson: Lesson) -> pd.DataFrame | None:
        """Return all training rows of the experiences learnt before."""
        past = lesson.past()
        return past if len(past) else None
