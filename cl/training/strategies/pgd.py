"""Projected gradient descent: train on each row, and on the row with its words moved in several steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.training.strategies._base import Step, Update
from cl.training.strategies._perturbations import Perturbing, ascent, loss_of, row_lengths, within, words_of

if TYPE_CHECKING:
    import torch


class PGD(Perturbing):
    """Adversarial training by projected gradient descent (Madry et al., 2018, equations 2.1 and 2.2), on embeddings.

    The loss is ``L(e) + L(e + d)``. d starts at 0 and takes ``steps`` steps ``d <- P(d + pace * g / |g|)``, where g is
    the gradient of ``L(e + d)`` in a row's word embeddings and P cuts d to the length ``epsilon``. Unlike in the paper,
    lengths are Euclidean and shares of the row's own ``|e|``, d does not start at random, so that the first gradient is
    the step's own, and the clean loss is kept, as in FGM.

    >>> PGD(steps=3).passes
    4
    """

    epsilon: float = Field(
        0.15, gt=0, description="Most length of the perturbation, as a share of that of the row's word embeddings"
    )
    pace: float = Field(0.05, gt=0, description="Length of a step, as such a share (alpha)")
    steps: int = Field(3, ge=1, description="Steps of the perturbation, each a pass (K)")

    @property
    def passes(self) -> int:
        """Return how often rows pass the encoder: once for each step, and once more."""
        return self.steps + 1

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the loss of the perturbed rows."""
        forward, words = words_of(update, step)
        lengths, clean = row_lengths(words), loss_of(update, step, step.logits)
        direction = ascent(clean, forward.words.values, words, keep_graph=True)
        shift = within(self.pace * lengths * direction, self.epsilon * lengths)
        for _ in range(1, self.steps):
            shift.requires_grad_()
            direction = ascent(loss_of(update, step, forward.again(shift)), shift, words)
            shift = within(shift.detach() + self.pace * lengths * direction, self.epsilon * lengths)
        return loss_of(update, step, forward.again(shift))
