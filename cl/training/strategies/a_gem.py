"""Averaged gradient episodic memory: project each gradient so that the loss on past rows does not rise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.training.strategies import Step, Update
from cl.training.strategies._rehearsal import Rehearsal

if TYPE_CHECKING:
    import torch


class AGEM(Rehearsal):
    """A-GEM (Chaudhry et al., 2019, "Efficient Lifelong Learning with A-GEM", equation 11).

    Each step draws rows from a buffer and computes the gradient of their mean loss. If the step's gradient points
    against it, that component is projected out: ``g - (g . ref / ref . ref) ref``. The buffer is not replayed. Unlike
    in the paper, the projected gradient includes other strategies' penalties, and AdamW, not SGD, takes the step, so
    the guarantee that the past loss does not rise holds for the gradient, not for the step itself.

    >>> AGEM(rows=100).keeps_rows
    True
    """

    drawn: int = Field(64, ge=1, description="Rows drawn from the buffer for the reference gradient of each step")

    def adjust(self, update: Update, step: Step) -> None:
        """Project the gradient if it points against the gradient of past rows."""
        import torch

        if update.state.rows is None or update.state.rows.empty:
            return
        parameters = [parameter for _, parameter in update.learner.parameters()]
        own = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in parameters]
        for parameter, gradient in zip(parameters, project_gradient(own, self._reference(update, step)), strict=True):
            parameter.grad = gradient

    def _reference(self, update: Update, step: Step) -> list[torch.Tensor]:
        """Return the gradient on rows drawn from the buffer; the step's own gradients are left alone."""
        import torch

        from cl.models.batching import collate
        from cl.models.weights import relative, row_weights

        learner, rows, rng = update.learner, update.state.rows, update.lesson.rng
        assert rows is not None
        drawn = sorted(rng.choice(len(rows), size=min(self.drawn, len(rows)), replace=False))
        encoded = learner.encode(rows.iloc[drawn])
        weights, pad = relative(row_weights(rows.iloc[drawn])), learner.tokenizer.pad_token_id
        batch = collate(learner.task, encoded, list(range(len(drawn))), pad, learner.device, weights=weights)
        # in the same precision as the step itself
        with torch.autocast(learner.device.type, torch.bfloat16, enabled=step.logits.dtype == torch.bfloat16):
            loss = learner.task.loss(learner.logits(batch), batch.targets, batch.weights)
        return list(
            torch.autograd.grad(loss, [parameter for _, parameter in learner.parameters()], materialize_grads=True)
        )


def project_gradient(own: list[torch.Tensor], reference: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return a gradient, one tensor per parameter, without the component that points against the reference."""
    import torch

    product = torch.stack([(gradient * past).sum() for gradient, past in zip(own, reference, strict=True)]).sum()
    if product >= 0:
        return own
    factor = product / torch.stack([past.square().sum() for past in reference]).sum()
    return [gradient - factor * past for gradient, past in zip(own, reference, strict=True)]
