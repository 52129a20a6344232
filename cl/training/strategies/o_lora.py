"""Orthogonal LoRA: learn each experience in its own low-rank subspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.plugins import Capability
from cl.training.strategies import State, Step, Strategy, Update
from cl.training.strategies._lora import why_no_plain_lora

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner


class OLoRA(Strategy):
    """O-LoRA (Wang et al., 2023, section 3.2, equations 5 to 8): needs ``model.tuning: lora``.

    An update merges the previous LoRA into the weights and starts a new one. The penalty is
    ``strength * sum |A_past A^T|^2``, elementwise, over layers and past experiences: the rows of A span the subspace
    that an experience reads, and new experiences should read another. We sum squares, as the paper does; the authors'
    code sums absolute values. Unlike theirs, past updates are merged at once, since only their A is needed again, and
    heads are not separate. The state also holds the latest subspace, which another tuning would merge. The subspaces
    are exhausted after width / rank experiences.

    >>> from cl.config import Config
    >>> OLoRA().objection(Config(strategy='o_lora', model={'tuning': 'lora'})) is None
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODER})

    anchored_to: ClassVar[str | None] = "subspaces"

    strength: float = Field(0.5, gt=0, description="Weight of the penalty (lambda_1)")

    def objection(self, config: Config) -> str | None:
        """Reject any other tuning, and strategies that hold the matrices that every update resets."""
        if why := why_no_plain_lora(config, "keeps LoRA subspaces orthogonal"):
            return why
        holding = [other.name for other in self.others(config) if other.anchored_to == "weights"]
        if holding:
            return f"every update resets its matrices, but '{holding[0]}' holds the old ones; leave one of the two out"
        return super().objection(config)

    def begin(self, update: Update) -> None:
        """Merge the champion's LoRA into the weights, and record its subspaces and those of earlier updates."""
        from cl.models.tunings.lora import fold

        if not update.lesson.known:
            return
        past = _add_subspaces(update.state.tensors, update.learner)
        fold(update.learner.encoder)
        update.scratch.update({name: matrix.to(update.learner.device) for name, matrix in past.items()})

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the overlap of the layers' subspaces with those of past experiences."""
        import torch

        from cl.models.tunings.lora import down_projections

        terms = [
            (update.scratch[f"past.{name}"].to(now.device) @ now.T).square().sum()
            for name, now in down_projections(update.learner.encoder).items()
            if f"past.{name}" in update.scratch
        ]
        return self.strength * torch.stack(terms).sum() if terms else None

    def end(self, update: Update) -> State:
        """Keep the past subspaces and the latest one."""
        tensors = _add_subspaces({**update.state.tensors, **update.scratch}, update.learner)
        return State(tensors=tensors, seen=update.state.seen + len(update.lesson.rows))


def _add_subspaces(past: dict[str, torch.Tensor], learner: Learner) -> dict[str, torch.Tensor]:
    """Return the past subspaces, ``past.LAYER``, with those of the learner's LoRA unless already included."""
    import torch

    from cl.models.tunings.lora import down_projections, trained_layers

    subspaces, used = {name: matrix.cpu() for name, matrix in past.items()}, trained_layers(learner.encoder)
    for name, matrix in down_projections(learner.encoder).items():
        own, before = matrix.detach().cpu().clone(), subspaces.get(f"past.{name}")
        if name in used and (before is None or not torch.equal(before[-len(own) :], own)):
            subspaces[f"past.{name}"] = own if before is None else torch.cat([before, own])
    return subspaces
