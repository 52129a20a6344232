"""Orthogonal LoRA: learn each experience in its own low-rank subspace."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.config import Config
from cl.training.strategies import State, Step, Strategy, Update
from cl.training.strategies._lora import why_no_plain_lora

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner

log = logging.getLogger(__name__)


class OLoRA(Strategy):
    """O-LoRA (Wang et al., 2023, section 3.2, equations 5 to 8): needs ``model.tuning: lora``.

    An update starts a new LoRA; the previous one stays as it is. The penalty is ``strength * sum |A_past A^T|^2``,
    elementwise, over layers and past experiences: the rows of A span the subspace that an experience reads, and new
    experiences should read another. We sum squares, as the paper does; the authors' code sums absolute values, and
    heads are not separate here. The subspaces are exhausted after width / rank experiences.

    An encoder's past updates are merged into its weights at once, since only their A is needed again, which the state
    holds. A language model's are kept as one cumulative adapter, as its versions refer to weights that are never
    changed: after training, its matrices are those of the past next to the new ones. Above ``max_rank`` they are cut to
    the nearest update (by SVD); how much of its squared length that loses is logged, and gates judge what it does.

    >>> from cl.config import Config
    >>> OLoRA().objection(Config(strategy='o_lora', model={'tuning': 'lora'})) is None
    True
    """

    anchored_to: ClassVar[str | None] = "subspaces"

    strength: float = Field(0.5, gt=0, description="Weight of the penalty (lambda_1)")
    max_rank: int = Field(
        64, ge=1, description="Of a language model: the highest rank of all its updates together, above which it is cut"
    )

    def objection(self, config: Config) -> str | None:
        """Reject any other tuning, and strategies that hold the matrices that every update resets."""
        if why := why_no_plain_lora(config, "keeps LoRA subspaces orthogonal"):
            return why
        holding = [other.name for other in self.others(config) if other.anchored_to == "weights"]
        if holding:
            return f"every update resets its matrices, but '{holding[0]}' holds the old ones; leave one of the two out"
        return super().objection(config)

    def begin(self, update: Update) -> None:
        """Keep what the champion's LoRA adds, start a new one, and record the subspaces of earlier updates."""
        from cl.models.tunings.lora import LoRA, fold, set_aside

        learner = update.learner
        if not update.lesson.known:
            return
        past = _add_subspaces({} if learner.by_reference else update.state.tensors, learner)
        if learner.by_reference:
            assert isinstance(learner.tuning, LoRA), "another tuning is refused"
            set_aside(learner.encoder, learner.tuning.rank)
        else:
            fold(learner.encoder)
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
        """Keep the past subspaces and the latest one: of a language model, in its adapter."""
        from cl.models.tunings.lora import join_aside

        if update.learner.by_reference:
            lost = join_aside(update.learner.encoder, self.max_rank) if update.lesson.known else None
            if lost is not None:
                log.info("o_lora: cut to rank %d, %.2f %% of all updates lost", self.max_rank, 100 * lost)
            return State(seen=update.state.seen + len(update.lesson.rows))
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
