"""FreeLB: train on the mean loss along the way of a perturbation, none of whose gradients is wasted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.training.strategies._base import Step, Update
from cl.training.strategies._perturbations import Perturbing, ascent, loss_of, row_lengths, within, words_of

if TYPE_CHECKING:
    import torch


class FreeLB(Perturbing):
    """Free large-batch adversarial training (Zhu et al., 2020, algorithm 1).

    The loss is ``sum_k L(e + d_k) / K`` in place of ``L(e)``. d_0 is uniform in ``magnitude / sqrt(numbers of the
    row)`` either way, and ``d_{k+1} = P(d_k + pace * g_k / |g_k|)``, g_k being the gradient of ``L(e + d_k)`` in a
    row's word embeddings; P cuts d to the length ``epsilon``. All passes drop the same units. Unlike in the paper,
    lengths are shares of the row's own ``|e|``. With ``magnitude: 0`` the first pass is the step's own, which saves
    one; all passes are in memory at once.

    >>> FreeLB(steps=3, magnitude=0.0).passes, FreeLB(steps=3, magnitude=0.05).passes
    (3, 4)
    """

    steps: int = Field(3, ge=2, description="Points on the way, each a pass (K)")
    pace: float = Field(0.05, gt=0, description="Length of a step, as a share of that of the row's word embeddings")
    magnitude: float = Field(0.0, ge=0, description="Most length of the random start, as such a share")
    epsilon: float | None = Field(None, gt=0, description="Most length of the perturbation; null: any")

    @property
    def passes(self) -> int:
        """Return how often rows pass the encoder: for each point, and for the clean loss if no point has it."""
        return self.steps + (self.magnitude > 0)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the mean loss along the way, less the clean loss, which the step contains already."""
        import torch

        forward, words = words_of(update, step)
        lengths, clean = row_lengths(words), loss_of(update, step, step.logits)
        shift, total = torch.zeros_like(words), torch.zeros_like(clean)
        if self.magnitude:
            moves = (words != 0).any(-1, keepdim=True)
            numbers = moves.sum((1, 2), keepdim=True).clamp(min=1) * words.shape[-1]
            shift = (2 * torch.rand_like(words) - 1) * moves * self.magnitude * lengths / numbers.sqrt()
        for point in range(self.steps):
            first = not point and not self.magnitude
            inputs = forward.words.values if first else shift.requires_grad_()
            loss = clean if first else loss_of(update, step, forward.again(inputs, same_dropout=True))
            total = total + loss / self.steps
            if point + 1 < self.steps:
                shift = shift.detach() + self.pace * lengths * ascent(loss, inputs, words, keep_graph=True)
                shift = shift if self.epsilon is None else within(shift, self.epsilon * lengths)
        return total - clean
