"""Experience replay: rehearse past rows from a bounded buffer together with the new ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl import plugins
from cl.heavy import pd
from cl.plugins import Capability
from cl.tasks import Task
from cl.training.strategies._base import EpochRows, Update
from cl.training.strategies._recalled_rows import RecalledRows

if TYPE_CHECKING:
    from cl.config import Config
    from cl.models.learner import Learner


class Replay(RecalledRows):
    """Rehearse past rows in every epoch (ER; Chaudhry et al., 2019, "On Tiny Episodic Memories").

    Each epoch sees all new rows and a fresh sample of the buffer. The paper draws one replayed row for each new
    one; ``ratio`` is that proportion, and a buffer smaller than the sample is used whole. For language models, whose
    rows differ in length, it is that of learned tokens: they are what the loss is a mean over.

    >>> Replay(rows=100, ratio=3.0).expected_rows(new=10, past=1000)  # rows of the buffer that an epoch adds
    30
    """

    ratio: float = Field(
        3.0,
        gt=0,
        description="Most replayed rows per new row in each epoch; for language models, learned tokens per new one",
    )
    general: float = Field(
        0.0,
        ge=0,
        description="Most learned tokens of general texts, which ship with the package, per new one in each epoch, to "
        "keep what no row of the stream asks for; language models only, 0: none",
    )
    targets: Literal["given", "own"] = Field(
        "given",
        description="own: before training, the model puts the answers of new rows in its own words, which the buffer "
        "keeps, too; for tasks with answers that are written",
    )
    likeness: float = Field(
        0.5, ge=0, le=1, description="The score against the true answer from which own words are taken for it"
    )

    def objection(self, config: Config) -> str | None:
        """Refuse own words where no answer is written, and general texts where no language model learns."""
        if self.targets == "own" and (why := why_no_own_words(config)):
            return why
        task = plugins.build(Task, config.task)
        if self.general and Capability.WRITING not in task.provides:
            return f"general: task '{task.name}' has no language model that could learn general texts; set it to 0"
        return super().objection(config)

    def rewrite(self, learner: Learner, rows: pd.DataFrame, kept: Path) -> pd.DataFrame:
        """Return the new rows with their targets in the model's own words, if they are wanted."""
        if self.targets == "given" or rows.empty:
            return rows
        from cl.training.own_words import rewrite_targets

        return rewrite_targets(learner, rows, least=self.likeness, kept=kept)

    def epoch_rows(self, update: Update) -> EpochRows:
        """Return the new rows and a fresh sample of the buffer, which is empty at first."""
        if update.learner.writes:
            from cl.training.strategies._token_mix import mixed_rows

            return EpochRows(update.lesson.rows, mixed_rows(update, self.ratio, self.general))
        return super().epoch_rows(update)

    def expected_rows(self, new: int, past: int) -> int:
        """Return the size of the sample from a buffer that is as full as possible."""
        return super().expected_rows(new, past) + round(self.general * new)


def why_no_own_words(config: Config) -> str | None:
    """Return why a configuration's task has no answers that a model could put in its own words, or None."""
    task = plugins.build(Task, config.task)
    if Capability.WRITING in task.provides and not task.schema.answer.optional:
        return None
    return f"targets: own: task '{task.name}' has no answers that a model writes; set it to given"
