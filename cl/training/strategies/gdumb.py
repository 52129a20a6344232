"""GDumb: keep a class-balanced buffer and train from the pretrained weights on it in every update."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from cl.heavy import pd
from cl.training.buffers import Buffer
from cl.training.strategies import EpochRows, State, Strategy, Update
from cl.training.strategies._rehearsal import keep_rows


class GDumb(Strategy):
    """Greedy sampler and dumb learner (Prabhu et al., 2020, section 3, algorithm 1).

    New rows enter a buffer with equal class shares; every update then starts from the pretrained weights and trains on
    the buffer only. It is a baseline for methods that continue from the champion. Unlike in the paper, training starts
    from the pretrained encoder, not from random weights, and uses the loop's schedule, without cutmix.

    >>> GDumb(rows=100).restarts()
    True
    """

    recalls: ClassVar[bool] = True
    keeps_rows: ClassVar[bool] = True

    rows: int = Field(2_000, ge=1, description="Most rows in the buffer, which an update trains on")
    bytes: int | None = Field(None, ge=1, description="Most bytes of text in the buffer; null: limit rows only")

    def restarts(self) -> bool:
        """Return True: every update starts from the pretrained weights."""
        return True

    def begin(self, update: Update) -> None:
        """Choose the buffer before training on it, as indices into the new and the old rows."""
        import torch

        chosen = keep_rows(update, "class_balanced", self.rows, self.bytes)["id"]
        for name, rows in (("new", update.lesson.rows), ("old", update.state.rows)):
            if rows is not None:
                update.scratch[name] = torch.from_numpy(rows["id"].isin(chosen).to_numpy().nonzero()[0])

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows that entered the buffer, and the old ones that stayed in it."""
        new, old = update.lesson.rows.iloc[update.scratch["new"].numpy()], update.state.rows
        return EpochRows(new, None if old is None else old.iloc[update.scratch["old"].numpy()])

    def expected_rows(self, new: int, past: int) -> int:
        """Return how many old rows fit in the buffer; negative if some of the new rows do not."""
        return min(self.rows, new + past) - new

    def end(self, update: Update) -> State:
        """Keep the buffer."""
        new, old = self.epoch_rows(update)
        new = new.assign(**{Buffer.CLASS: update.learner.task.classes(new)})
        rows = new if old is None else pd.concat([old, new])
        return State(rows=rows.reset_index(drop=True), seen=update.state.seen + len(update.lesson.rows))
