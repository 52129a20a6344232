"""GDumb: a balanced buffer, and a model that is learnt from it anew each time."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
from pydantic import Field

from cl.training.buffers import Buffer
from cl.training.strategies import State, Strategy, Update
from cl.training.strategies.replay import keep_rows


class GDumb(Strategy):
    """Greedy sampler and dumb learner (Prabhu et al., 2020, section 3, algorithm 1).

    New rows enter a buffer of equal class shares; every update then starts from the pretrained weights and learns the
    buffer alone, old rows and new. It asks what the methods that go on from the champion are worth. Where we differ:
    the pretrained encoder is the start, not random weights, and the loop's own schedule is used, without cutmix.
    """

    keeps_rows: ClassVar[bool] = True

    rows: int = Field(2_000, ge=1, description="Rows that the buffer holds at most, and that an update learns")
    bytes: int | None = Field(
        None, ge=1, description="Bytes of text that the buffer holds at most; null: only rows count"
    )

    def restarts(self) -> bool:
        """Every update starts from the pretrained weights."""
        return True

    def begin(self, update: Update) -> None:
        """Choose the buffer before it is learnt: places among the new rows and among the old."""
        import torch

        chosen = keep_rows(update, "class_balanced", self.rows, self.bytes)["id"]
        for name, rows in (("new", update.lesson.rows), ("old", update.state.rows)):
            if rows is not None:
                update.scratch[name] = torch.from_numpy(rows["id"].isin(chosen).to_numpy().nonzero()[0])

    def choose(self, update: Update) -> pd.DataFrame:
        """Return the new rows that have come into the buffer."""
        return update.lesson.rows.iloc[update.scratch["new"].numpy()]

    def recall(self, update: Update) -> pd.DataFrame | None:
        """Return the old rows that have stayed in it."""
        rows = update.state.rows
        return None if rows is None else rows.iloc[update.scratch["old"].numpy()]

    def expects(self, new: int, past: int) -> int:
        """Return what is left to the old rows, or is not learnt of the new."""
        return min(self.rows, new + past) - new

    def remember(self, update: Update) -> State:
        """Keep the buffer."""
        new = self.choose(update)
        new = new.assign(**{Buffer.CLASS: update.learner.task.classes(new)})
        old = self.recall(update)
        rows = new if old is None else pd.concat([old, new])
        return State(rows=rows.reset_index(drop=True), seen=update.state.seen + len(update.lesson.rows))
