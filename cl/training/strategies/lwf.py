"""Learning without forgetting: what the champion answers on the new rows is kept while they are learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.training.strategies import Step, Strategy, Update

if TYPE_CHECKING:
    import torch


class LwF(Strategy):
    """Learning without forgetting (Li and Hoiem, 2016, equations 2 to 4).

    Before the first step the champion's logits on the new rows are recorded, dropout off. The penalty is ``strength``
    times the cross-entropy between its probabilities for the labels it knows and those of the model now, both at
    ``temperature``; no row of the past is needed. Where we differ: there is one head, so the old task is the set of
    the labels known before; the new head is not warmed up alone first. Recalled rows of another strategy are not
    distilled: they carry their true labels.
    """

    holds: ClassVar[str | None] = "answers"

    strength: float = Field(1.0, gt=0, description="Weight of the distillation (lambda)")
    temperature: float = Field(2.0, gt=0, description="Logits are divided by it: above 1, small probabilities count")

    def begin(self, update: Update) -> None:
        """Record the champion's logits on the new rows: one after the other, and where each row's end."""
        import torch

        from cl.models.inference import to_records

        known = update.lesson.known
        if known:
            logits = [own[:, :known] for own in to_records(update.learner, update.lesson.rows)]
            update.scratch["logits"] = torch.cat(logits).to(update.learner.device)
            update.scratch["ends"] = torch.tensor([len(own) for own in logits]).cumsum(0)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the distillation loss, a mean over the predictions of the batch's new rows."""
        import torch

        from cl.models.inference import pair_rows, sum_by_row

        if "logits" not in update.scratch:
            return None
        logits, places = update.scratch["logits"], _places(update)
        pairs = [
            pair_rows(now, logits[places[row]])
            for row, now in zip(step.ids, sum_by_row(step.logits, step.batch.targets), strict=True)
            if row in places
        ]
        if not sum(len(now) for now, _ in pairs):
            return None
        now, then = (torch.cat(part) / self.temperature for part in zip(*pairs, strict=True))
        return self.strength * torch.nn.functional.cross_entropy(now, then.softmax(-1))


def _places(update: Update) -> dict[str, slice]:
    """Return which of the recorded logits are those of each new row, by its id; made once for all steps."""
    if "places" not in update.cache:
        ends = update.scratch["ends"].tolist()
        slices = map(slice, [0, *ends], ends)
        update.cache["places"] = dict(zip(update.lesson.rows["id"], slices, strict=True))
    return update.cache["places"]
