"""Experience replay: a bounded buffer of past rows is rehearsed along with the new ones."""

from __future__ import annotations

import pandas as pd
from pydantic import Field, field_validator

from cl import plugins
from cl.buffers import Buffer
from cl.config import PluginSpec, check_plugin
from cl.strategies import State, Strategy, Update


class Replay(Strategy):
    """Rehearses rows of the past in every epoch (ER; Chaudhry et al., 2019, "On Tiny Episodic Memories").

    Each epoch sees all new rows and a fresh sample of the buffer. The paper draws one replayed row for each new
    one; ``ratio`` is that proportion, and a small buffer is then simply seen whole.
    """

    rows: int = Field(2_000, ge=1, description="Rows that the buffer holds at most")
    ratio: float = Field(3.0, gt=0, description="Replayed rows for each new row, in each epoch, at most")
    buffer: PluginSpec = Field("class_balanced", description="Which rows are kept: a file of cl/buffers")

    @field_validator("buffer")
    @classmethod
    def _buffer_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("buffers", spec)

    def recall(self, update: Update) -> pd.DataFrame | None:
        """Return a sample of the buffer, new in each epoch, or None while it is empty."""
        return rehearsed(update, self.ratio)

    def remember(self, update: Update) -> State:
        """Let the buffer's policy choose among what it holds and what is new."""
        return State(rows=kept(update, self.buffer, self.rows), seen=update.state.seen + len(update.lesson.rows))


def rehearsed(update: Update, ratio: float) -> pd.DataFrame | None:
    """Return a random sample of a state's rows, at most ``ratio`` for each new row; None while there are none."""
    rows, lesson = update.state.rows, update.lesson
    if rows is None or rows.empty:
        return None
    wanted = min(len(rows), round(ratio * len(lesson.rows)))
    return rows.iloc[sorted(lesson.rng.choice(len(rows), size=wanted, replace=False))]


def kept(update: Update, buffer: PluginSpec, budget: int) -> pd.DataFrame:
    """Return what a buffer's policy keeps of a state's rows and of the new ones."""
    policy: Buffer = plugins.build("buffers", buffer)
    lesson, state = update.lesson, update.state
    named = lesson.rows.assign(**{Buffer.CLASS: update.learner.task.classes(lesson.rows)})
    return policy.keep(state.rows, named, budget=budget, seen=state.seen, rng=lesson.rng).reset_index(drop=True)
