"""What a learner answers to rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cl.tasks import Prediction, Targets


@dataclass(frozen=True)
class Answers:
    """A learner's answers to rows, in their order.

    ``embeddings`` are float32 (rows, width): those of `Learner.embed`, or for a head in closed form the mean of its
    rounded last-layer features, scaled to unit length. ``loss`` is the mean cross-entropy over the targets that the
    learner knows, NaN if there are none. ``brier`` is each row's Brier score, 0 to 2, meaningful only for rows that
    have a target. ``targets`` are those that it could answer. ``losses`` are the negative log-likelihoods of each row's
    true answer, the mean of its tokens; None of a model that does not write.
    """

    predictions: list[Prediction]
    embeddings: np.ndarray
    loss: float
    brier: np.ndarray
    targets: Targets
    losses: np.ndarray | None = None

    @property
    def values(self) -> list[object]:
        """The bare predictions."""
        return [prediction.value for prediction in self.predictions]
