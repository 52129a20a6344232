"""Experience replay: rehearse past rows from a bounded buffer together with the new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl import plugins
from cl.heavy import pd
from cl.plugins import Capability
from cl.tasks import Task
from cl.training.strategies._base import EpochRows, Update
from cl.training.strategies._rehearsal import Rehearsal

if TYPE_CHECKING:
    from cl.config import Config
    from cl.models.learner import Learner


class Replay(Rehearsal):
    """Rehearse past rows in every epoch (ER; Chaudhry et al., 2019, "On Tiny Episodic Memories").

    Each epoch sees all new rows and a fresh sample of the buffer. The paper draws one replayed row for each new
    one; ``ratio`` is that proportion, and a buffer smaller than the sample is used whole.

    >>> Replay(rows=100, ratio=3.0).expected_rows(new=10, past=1000)  # rows of the buffer that an epoch adds
    30
    """

    recalls: ClassVar[bool] = True

    ratio: float = Field(3.0, gt=0, description="Most replayed rows per new row in each epoch")

    targets: Literal["given", "own"] = Field(
        "given",
        description="own: before training, the model puts the answers of new rows in its own words, which the buffer "
        "keeps, too; for tasks with answers that are written",
    )
    likeness: float = Field(
        0.5, ge=0, le=1, description="The score against the true answer from which own words are taken for it"
    )

    def objection(self, config: Config) -> str | None:
        """Refuse own words where no answer is written."""
        if self.targets == "own" and (why := why_no_own_words(config)):
            return why
        return super().objection(config)

    def rewrite(self, learner: Learner, rows: pd.DataFrame, kept: Path) -> pd.DataFrame:
        """Return the new rows with their targets in the model's own words, if they are wanted."""
        if self.targets == "given" or rows.empty:
            return rows
        from cl.training.own_words import rewrite_targets

        return rewrite_targets(learner, rows, least=self.likeness, kept=kept)

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows and a fresh sample of the buffer, which is empty at first."""
        return EpochRows(update.lesson.rows, rehearse(update, self.ratio))

    def expected_rows(self, new: int, past: int) -> int:
        """Return the size of the sample from a buffer that is as full as possible."""
        return min(self.rows, past, round(self.ratio * new))


def why_no_own_words(config: Config) -> str | None:
    """Return why a configuration's task has no answers that a model could put in its own words, or None."""
    task = plugins.build(Task, config.task)
    if Capability.WRITING in task.provides and not task.schema.answer.optional:
        return None
    return f"targets: own: task '{task.name}' has no answers that a model writes; set it to given"


def rehearse(update: Update, ratio: float) -> pd.DataFrame | None:
    """Return a random sample of a state's rows, at most ``ratio`` per new row, or None if it has no rows."""
    rows, lesson = update.state.rows, update.lesson
    if rows is None or rows.empty:
        return None
    size = min(len(rows), round(ratio * len(lesson.rows)))
    return rows.iloc[sorted(lesson.rng.choice(len(rows), size=size, replace=False))]
