"""Orthogonal LoRA: each experience is learnt in a low-rank subspace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.training.strategies import State, Step, Strategy, Update

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner


class OLoRA(Strategy):
    """O-LoRA (Wang et al., 2023, section 3.2, equations 5 to 8): needs ``model.tuning: lora``.

    An update begins by adding the LoRA of the last one into the weights and starting a new one. The penalty is
    ``strength * sum |A_past A^T|^2``, entry by entry, over layers and past experiences: the rows of A span what an
    experience reads, and new ones should read something else. Where we differ: the authors' code sums absolute
    values, the paper squares, as we do; past updates are folded at once, since only their A is needed again; heads
    are not kept apart. The state holds the subspace just learnt as well, which another tuning would merge away. A wide
    rank is used up after width / rank experiences.
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
        """Fold what the champion has learnt, and note in which subspaces it and its forebears were."""
        from cl.models.tunings.lora import fold

        if not update.lesson.known:
            return
        past = _with_learnt(update.state.tensors, update.learner)
        fold(update.learner.encoder)
        update.scratch.update({name: one.to(update.learner.device) for name, one in past.items()})

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return how much the layers read of what past experiences read."""
        import torch

        from cl.models.tunings.lora import down_projections

        terms = [
            (update.scratch[f"past.{name}"].to(now.device) @ now.T).square().sum()
            for name, now in down_projections(update.learner.encoder).items()
            if f"past.{name}" in update.scratch
        ]
        return self.strength * torch.stack(terms).sum() if terms else None

    def remember(self, update: Update) -> State:
        """Keep the past subspaces and the one just learnt."""
        tensors = _with_learnt({**update.state.tensors, **update.scratch}, update.learner)
        return State(tensors=tensors, seen=update.state.seen + len(update.lesson.rows))


def _with_learnt(past: dict[str, torch.Tensor], learner: Learner) -> dict[str, torch.Tensor]:
    """Return the past subspaces, ``past.LAYER``, and those that the learner's LoRA uses where they are not in yet."""
    import torch

    from cl.models.tunings.lora import down_projections, learned_directions

    found, used = {name: one.cpu() for name, one in past.items()}, learned_directions(learner.encoder)
    for name, matrix in down_projections(learner.encoder).items():
        own, before = matrix.detach().cpu().clone(), found.get(f"past.{name}")
        if name in used and (before is None or not torch.equal(before[-len(own) :], own)):
            found[f"past.{name}"] = own if before is None else torch.cat([before, own])
    return found
