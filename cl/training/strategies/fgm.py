"""The fast gradient method: train on each row, and on the row with its words moved where the loss rises fastest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.training.strategies._base import Step, Update
from cl.training.strategies._perturbations import Perturbing, ascent, loss_of, row_lengths, words_of

if TYPE_CHECKING:
    import torch


class FGM(Perturbing):
    """Adversarial training of text (Miyato, Dai and Goodfellow, 2017, section 3, equations 3 to 5).

    The loss is ``L(e) + L(e + d)`` with ``d = epsilon * g / |g|`` and g the gradient of L in a row's word embeddings
    e. Unlike in the paper, the embeddings are those of the pretrained encoder, not normalised: ``epsilon`` is a share
    of the row's own length ``|e|`` in place of a length; dropout is drawn again for the second pass.

    >>> FGM(epsilon=0.1).passes
    2
    """

    epsilon: float = Field(
        0.1, gt=0, description="Length of the perturbation, as a share of that of the row's word embeddings"
    )

    @property
    def passes(self) -> int:
        """Return 2: the row, and the perturbed row."""
        return 2

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the loss of the perturbed rows."""
        forward, words = words_of(update, step)
        loss = loss_of(update, step, step.logits)
        direction = ascent(loss, forward.words.values, words, keep_graph=True)
        return loss_of(update, step, forward.again(self.epsilon * row_lengths(words) * direction))
