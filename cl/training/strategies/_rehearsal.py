"""What replay, A-GEM, DER and GDumb share: a buffer of past rows, bounded in rows and in bytes."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from cl import plugins
from cl.config import PluginSpec, check_plugin
from cl.heavy import np, pd
from cl.training.buffers import Buffer, Offer, View
from cl.training.strategies._base import State, Strategy, Update


class Rehearsal(Strategy):
    """Base of the strategies that keep rows of every experience in a buffer, chosen by a policy."""

    keeps_rows: ClassVar[bool] = True

    rows: int = Field(2_000, ge=1, description="Most rows in the buffer")
    bytes: int | None = Field(None, ge=1, description="Most bytes of text in the buffer; null: limit rows only")
    buffer: PluginSpec = Field(
        "class_balanced", description="Policy that chooses the rows to keep: a file in cl/training/buffers"
    )

    @field_validator("buffer")
    @classmethod
    def _buffer_exists(cls, spec: PluginSpec) -> PluginSpec:
        return check_plugin("buffers", spec)

    def end(self, update: Update) -> State:
        """Choose the rows to keep from the buffer and the new rows."""
        rows = keep_rows(update, self.buffer, self.rows, self.bytes)
        return State(rows=rows, seen=update.state.seen + len(update.lesson.rows))


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
