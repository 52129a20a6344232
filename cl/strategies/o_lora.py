"""Orthogonal LoRA: each experience is learnt in a low-rank subspace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.strategies import State, Step, Strategy, Update

if TYPE_CHECKING:
    import torch


class OLoRA(Strategy):
    """O-LoRA (Wang et al., 2023, section 3.2, equations 5 to 8): needs ``model.tuning: lora``.

    An update begins by adding the LoRA of the last one into the weights and starting a new one. The penalty is
    ``strength * sum |A_past A^T|^2``, entry by entry, over layers and past experiences: the rows of A span what an
    experience reads, and new ones should read something else. Where we differ: the authors' code sums absolute
    values, the paper squares, as we do; past updates are folded at once, since only their A is needed again; heads
    are not kept apart. A wide rank is used up after width / rank experiences.
    """

    holds: ClassVar[str | None] = "subspaces"

    strength: float = Field(0.5, gt=0, description="Weight of the penalty (lambda_1)")

    def objection(self, config: Config) -> str | None:
        """Refuse any other tuning, and those that would hold the matrices that begin anew."""
        tuning = config.model.tuning
        if (tuning if isinstance(tuning, str) else tuning["name"]) != "lora":
            return "it keeps LoRA matrices apart and needs model.tuning: lora"
        holding = [one.name for one in self.others(config) if one.holds == "weights"]
        if holding:
            return (
                f"its matrices begin anew with every update, and '{holding[0]}' holds the old; leave one of the two out"
            )
        return super().objection(config)

    def begin(self, update: Update) -> None:
        """Fold what the champion has learnt, and note in which subspace it was."""
        import torch

        from cl.tunings.lora import downward, fold

        if not update.lesson.known:
            return
        past = {name.removeprefix("past."): one for name, one in update.state.tensors.items()}
        last = {name: one.detach().cpu().clone() for name, one in downward(update.learner.encoder).items()}
        for name in sorted(fold(update.learner.encoder)):
            past[name] = torch.cat([past[name], last[name]]) if name in past else last[name]
        update.scratch.update({f"past.{name}": one for name, one in past.items()})

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return how much the layers read of what past experiences read."""
        import torch

        from cl.tunings.lora import downward

        terms = [
            (update.scratch[f"past.{name}"].to(now.device) @ now.T).square().sum()
            for name, now in downward(update.learner.encoder).items()
            if f"past.{name}" in update.scratch
        ]
        return self.strength * torch.stack(terms).sum() if terms else None

    def remember(self, update: Update) -> State:
        """Keep the past subspaces; the one just learnt is still in the model."""
        return State(tensors=dict(update.scratch), seen=update.state.seen + len(update.lesson.rows))
