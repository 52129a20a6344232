"""The best epoch's weights, kept until training ends."""

from __future__ import annotations

import math

import torch

from cl.training.learner import Learner


class Best:
    """Keeps a copy of the trainable weights at the best validation so far."""

    def __init__(self, learner: Learner) -> None:
        self._learner = learner
        self.weights: dict[str, torch.Tensor] = {}
        self.epoch = 0
        self.score = -math.inf
        self.loss = math.inf
        self.latest = 0.0

    def offer(self, epoch: int, score: float, loss: float) -> None:
        """Take the weights if the loss is finite and the score is better, or as good with a lower loss."""
        self.latest = score
        if math.isfinite(loss) and (score, -loss) > (self.score, -self.loss):
            self.epoch, self.score, self.loss = epoch, score, loss
            self.weights = {name: p.detach().clone() for name, p in self._learner.parameters()}

    @torch.no_grad()
    def restore(self) -> None:
        """Put the best weights back."""
        for name, parameter in self._learner.parameters():
            parameter.copy_(self.weights[name])
        self._learner.eval_mode()
