"""Synaptic intelligence: hold parameters that have reduced the loss near their old values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.training.strategies import State, Step, Strategy, Update, _anchors

if TYPE_CHECKING:
    import torch


class SI(Strategy):
    """Synaptic intelligence (Zenke et al., 2017, equations 3 to 5).

    During training, ``-gradient * step`` is summed for each parameter (omega): its share in the reduction of the loss.
    Divided by the square of its total displacement, plus ``damping``, this is the curvature that explains the
    reduction (Omega); the penalty is ``strength * sum_i Omega_i (theta_i - anchor_i)^2``. Unlike in the paper, steps
    are those of clipped AdamW; gradients are those of the batch, without SI's own penalty but with those of other
    strategies; the displacement ends at the best epoch's weights, although the sum continues to the last epoch;
    negative values count as zero, as in the authors' code; and the damping is much smaller than the paper's 0.001,
    because fine-tuning moves weights by less than its square root.

    >>> SI(strength=2.0).anchored_to
    'weights'
    """

    anchored_to: ClassVar[str | None] = "weights"

    strength: float = Field(1.0, gt=0, description="Weight of the penalty (c): 1 counts the past as much as the new")
    damping: float = Field(1e-6, gt=0, description="Bounds Omega where a parameter has hardly moved (xi)")
    decay: float = Field(1.0, ge=0, le=1, description="How much of the older Omega stays; the paper's sum is 1")

    def begin(self, update: Update) -> None:
        """Record the starting weights and move the anchor there."""
        import torch

        _anchors.move_anchors_to_start(update)
        for name, parameter in update.learner.parameters():
            update.scratch[f"start.{name}"] = parameter.detach().clone()
            update.scratch[f"omega.{name}"] = torch.zeros_like(parameter)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the quadratic that approximates the loss on past experiences."""
        return _anchors.anchor_penalty(update, importance="importance", strength=2 * self.strength)

    def adjust(self, update: Update, step: Step) -> None:
        """Record the gradient of the loss without this penalty, and the weights before the step."""
        import torch

        for name, parameter in update.learner.parameters():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
            if f"importance.{name}" in update.state.tensors:
                importance, past = (
                    _anchors.cached_tensor(update, f"{kind}.{name}") for kind in ("importance", "anchor")
                )
                gradient -= 2 * self.strength * importance * (parameter.detach() - past)
            update.scratch[f"gradient.{name}"] = gradient
            update.scratch[f"before.{name}"] = parameter.detach().clone()

    def stepped(self, update: Update) -> None:
        """Add this step's contribution to each parameter's sum."""
        scratch = update.scratch
        for name, parameter in update.learner.parameters():
            move = parameter.detach() - scratch.pop(f"before.{name}")
            scratch[f"omega.{name}"] = (
                scratch[f"omega.{name}"].to(parameter.device) - scratch.pop(f"gradient.{name}") * move
            )

    def end(self, update: Update) -> State:
        """Compute importance from the sums and move the anchor."""
        new = {}
        for name, parameter in update.learner.parameters():
            start, omega = (update.scratch[f"{kind}.{name}"].to(parameter.device) for kind in ("start", "omega"))
            new[name] = (omega / ((parameter.detach() - start).square() + self.damping)).clamp(min=0)
        tensors = _anchors.update_importance(update, new, importance="importance", decay=self.decay)
        return State(tensors=tensors, seen=update.state.seen + len(update.lesson.rows))
