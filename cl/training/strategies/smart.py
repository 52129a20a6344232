"""SMART: keep the answers where they are when words move a little."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.plugins import Capability
from cl.training.strategies._base import Step, Update
from cl.training.strategies._perturbations import Perturbing, masked_gradient, words_of

if TYPE_CHECKING:
    import torch

    from cl.tasks import Batch, Task


class SMART(Perturbing):
    """Smoothness-inducing regularisation (Jiang et al., 2020, equations 1 and 2).

    The penalty is ``strength`` times the greatest symmetric divergence ``KL(p | q) + KL(q | p)`` between the answers
    to a row and to the row with perturbed words; it needs no labels. d starts as noise and takes one step of ``pace``
    along the gradient, divided by the largest entry for each word; no entry leaves ``epsilon``. Unlike in the paper,
    these three are shares of the root mean square of the word's own embedding, as in `measure_adversarial`; the noise
    is not so small that bfloat16 rounds it away; and the proximal term (equation 3) is left out: with the champion in
    place of the average of past weights it is what `lwf` adds.

    >>> SMART(strength=1.0).passes
    3
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODER, Capability.PROBABILITIES})

    strength: float = Field(1.0, gt=0, description="Weight of the divergence (lambda)")
    epsilon: float = Field(0.1, gt=0, description="Most perturbation of an entry, as a share of its word's size")
    pace: float = Field(0.1, gt=0, description="Length of the step in the largest entry, as such a share (eta)")
    noise: float = Field(0.02, gt=0, description="Standard deviation of the random start, as such a share (sigma)")

    @property
    def passes(self) -> int:
        """Return 3: the row, the row with noise, and the perturbed row."""
        return 3

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the strength times the mean divergence over the batch's predictions, times the weights of rows."""
        import torch

        task, batch = update.learner.task, step.batch
        forward, words = words_of(update, step)
        sizes = words.square().mean(-1, keepdim=True).sqrt()
        shift = (self.noise * sizes * torch.randn_like(words)).requires_grad_()
        value = divergence(task, batch, forward.again(shift), step.logits.detach())
        gradient = masked_gradient(value, shift, words)
        gradient = gradient / gradient.abs().amax(-1, keepdim=True).clamp(min=1e-30)
        shift = (shift.detach() + self.pace * sizes * gradient).clamp(-self.epsilon * sizes, self.epsilon * sizes)
        return self.strength * divergence(task, batch, forward.again(shift), step.logits)


def divergence(task: Task, batch: Batch, ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return the mean symmetric divergence between two models' probabilities, over the batch's predictions."""
    import torch

    first, second = task.by_row(ours, batch.targets), task.by_row(theirs, batch.targets)
    ours, theirs = torch.cat(first).float().log_softmax(-1), torch.cat(second).float().log_softmax(-1)
    terms = ((ours.exp() - theirs.exp()) * (ours - theirs)).sum(-1)
    if batch.weights is not None:
        counts = torch.tensor([len(own) for own in first], device=terms.device)
        terms = terms * batch.weights.repeat_interleave(counts)
    return terms.mean()
