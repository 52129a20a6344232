"""Experience replay: rehearse past rows from a bounded buffer together with the new ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from cl import plugins
from cl.config import PluginSpec, check_plugin
from cl.training.buffers import Buffer, Offer, View
from cl.training.strategies import State, Strategy, Update


class Replay(Strategy):
    """Rehearse past rows in every epoch (ER; Chaudhry et al., 2019, "On Tiny Episodic Memories").

    Each epoch sees all new rows and a fresh sample of the buffer. The paper draws one replayed row for each new
    one; ``ratio`` is that proportion, and a buffer smaller than the sample is used whole.

    >>> Replay(rows=100, ratio=3.0).expected_rows(new=10, past=1000)  # rows of the buffer that an epoch adds
    30
    """

    keeps_rows: ClassVar[bool] = True

    rows: int = Field(2_000, ge=1, description="Most rows in the buffer")
    bytes: int | None = Field(None, ge=1, description="Most bytes of text in the buffer; null: limit rows only")
    ratio: float = Field(3.0, gt=0, description="Most replayed rows per new row in each epoch")
    buffer: PluginSpec = Field(
        "class_balanced", description="Policy that chooses the rows to keep: a file in cl/training/buffers"
    )

    @field_validator("buffer")
    @classmethod
    def _buffer_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("buffers", spec)

    def recall(self, update: Update) -> pd.DataFrame | None:
        """Return a fresh sample of the buffer, or None while it is empty."""
        return rehearse(update, self.ratio)

    def expected_rows(self, new: int, past: int) -> int:
        """Return the size of the sample from a buffer that is as full as possible."""
        return min(self.rows, past, round(self.ratio * new))

    def remember(self, update: Update) -> State:
        """Choose the rows to keep from the buffer and the new rows."""
        rows = keep_rows(update, self.buffer, self.rows, self.bytes)
        return State(rows=rows, seen=update.state.seen + len(update.lesson.rows))


def rehearse(update: Update, ratio: float) -> pd.DataFrame | None:
    """Return a random sample of a state's rows, at most ``ratio`` per new row, or None if it has no rows."""
    rows, lesson = update.state.rows, update.lesson
    if rows is None or rows.empty:
        return None
    size = min(len(rows), round(ratio * len(lesson.rows)))
    return rows.iloc[sorted(lesson.rng.choice(len(rows), size=size, replace=False))]


def keep_rows(update: Update, buffer: PluginSpec, budget: int, limit: int | None = None) -> pd.DataFrame:
    """Return the rows that a buffer's policy keeps of the state's and the new ones, at most ``limit`` bytes of text."""
    policy: Buffer = plugins.build(Buffer, buffer)
    lesson, task, old, view = update.lesson, update.learner.task, update.state.rows, _make_view(update)
    new = lesson.rows.assign(**{Buffer.CLASS: task.classes(lesson.rows)})

    def keep(old: pd.DataFrame | None, new: pd.DataFrame, budget: int, seen: int) -> pd.DataFrame:
        return policy.keep(Offer(old, new, budget, seen, lesson.rng, view)).reset_index(drop=True)

    def size(rows: pd.DataFrame) -> int:
        return int(task.texts(rows).map(lambda text: len(text.encode())).sum())

    if limit is None:
        return keep(old, new, budget, update.state.seen)
    # Aim at the number of rows that usually fit, which is stable across updates: filling the buffer and cutting it
    # afterwards would give its free slots to new rows.
    both = new if old is None else pd.concat([old, new], ignore_index=True)
    rows = keep(old, new, min(budget, limit * len(both) // max(1, size(both))), update.state.seen)
    while (used := size(rows)) > limit:
        rows = keep(rows, new.iloc[:0], min(len(rows) - 1, len(rows) * limit // used), update.state.seen + len(new))
    return rows


def _make_view(update: Update) -> View:
    def embeddings(rows: pd.DataFrame) -> np.ndarray:
        from cl.models.inference import answer

        return answer(update.learner, rows).embeddings

    def margins(rows: pd.DataFrame) -> np.ndarray:
        from cl.models.inference import row_logits

        return np.array([_margin(logits.softmax(-1).numpy()) for logits in row_logits(update.learner, rows)])

    return View(embeddings, margins)


def _margin(probabilities: np.ndarray) -> float:
    """Return the smallest lead of the first answer over the second among a row's predictions; 1 with one label."""
    if probabilities.size == 0 or probabilities.shape[1] < 2:
        return 1.0
    best = np.sort(probabilities, axis=1)
    return float((best[:, -1] - best[:, -2]).min())
