"""Learning without forgetting: distil the champion's answers on the new rows while training on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.plugins import Capability
from cl.training.strategies import Step, Strategy, Update

if TYPE_CHECKING:
    import torch


class LwF(Strategy):
    """Learning without forgetting (Li and Hoiem, 2016, equations 2 to 4).

    Before the first step, the champion's logits on the new rows are recorded without dropout. The penalty is
    ``strength`` times the cross-entropy between its probabilities for the labels it knows and those of the current
    model, both at ``temperature``; no past rows are needed. Unlike in the paper, there is one head, so the old task is
    the set of labels known before, and the new head is not warmed up first. Rows that another strategy recalls are not
    distilled: they have their true labels.

    >>> LwF(temperature=3.0).anchored_to
    'answers'
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.PROBABILITIES})

    anchored_to: ClassVar[str | None] = "answers"

    strength: float = Field(1.0, gt=0, description="Weight of the distillation (lambda)")
    temperature: float = Field(2.0, gt=0, description="Divisor of the logits: above 1, small probabilities weigh more")

    def begin(self, update: Update) -> None:
        """Record the champion's logits on the new rows, concatenated, and where those of each row end."""
        import torch

        from cl.models.inference import row_logits

        known = update.lesson.known
        if known:
            logits = [record[:, :known] for record in row_logits(update.learner, update.lesson.rows)]
            update.scratch["logits"] = torch.cat(logits).to(update.learner.device)
            update.scratch["ends"] = torch.tensor([len(record) for record in logits]).cumsum(0)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the distillation loss, a mean over the predictions of the batch's new rows, times their weights."""
        import torch

        from cl.models.inference import overlapping_logits

        if "logits" not in update.scratch:
            return None
        logits, slices = update.scratch["logits"], slices_by_id(update)
        own = update.learner.task.by_row(step.logits, step.batch.targets)
        new = [index for index, id in enumerate(step.ids) if id in slices]
        pairs = [overlapping_logits(own[index], logits[slices[step.ids[index]]]) for index in new]
        if not sum(len(now) for now, _ in pairs):
            return None
        now, then = (torch.cat(part) / self.temperature for part in zip(*pairs, strict=True))
        if step.batch.weights is None:
            return self.strength * torch.nn.functional.cross_entropy(now, then.softmax(-1))
        counts = torch.tensor([len(part) for part, _ in pairs], device=now.device)
        terms = torch.nn.functional.cross_entropy(now, then.softmax(-1), reduction="none")
        return self.strength * (terms * step.batch.weights[new].repeat_interleave(counts)).mean()


def slices_by_id(update: Update) -> dict[str, slice]:
    """Return each new row's slice of what `begin` has recorded by its id, cached for all steps."""
    if "slices" not in update.cache:
        ends = update.scratch["ends"].tolist()
        slices = map(slice, [0, *ends], ends)
        update.cache["slices"] = dict(zip(update.lesson.rows["id"], slices, strict=True))
    result: dict[str, slice] = update.cache["slices"]
    return result
