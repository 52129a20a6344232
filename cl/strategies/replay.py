"""Experience replay: a bounded buffer of past rows is rehearsed along with the new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pydantic import Field, field_validator

from cl import plugins
from cl.buffers import Buffer
from cl.config import PluginSpec, check_plugin
from cl.strategies import Lesson, State, Strategy

if TYPE_CHECKING:
    from cl.training.learner import Learner


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

    def recall(self, state: State, lesson: Lesson) -> pd.DataFrame | None:
        """Return a sample of the buffer, new in each epoch, or None while it is empty."""
        if state.rows is None or state.rows.empty:
            return None
        wanted = min(len(state.rows), round(self.ratio * len(lesson.rows)))
        return state.rows.iloc[sorted(lesson.rng.choice(len(state.rows), size=wanted, replace=False))]

    def remember(self, state: State, lesson: Lesson, learner: Learner) -> State:
        """Let the buffer's policy choose among what it holds and what is new."""
        policy: Buffer = plugins.build("buffers", self.buffer)
        named = lesson.rows.assign(**{Buffer.CLASS: learner.task.classes(lesson.rows)})
        kept = policy.keep(state.rows, named, budget=self.rows, seen=state.seen, rng=lesson.rng)
        return State(rows=kept.reset_index(drop=True), seen=state.seen + len(lesson.rows))
