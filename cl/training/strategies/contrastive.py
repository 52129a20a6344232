"""Supervised contrastive learning for few rows a class: draw rows of one class together, then fit the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl import plugins
from cl.heavy import pd
from cl.models.tunings import Tuning
from cl.plugins import Capability
from cl.training.strategies._base import State, Step, Strategy, Update

if TYPE_CHECKING:
    import torch

    from cl.config import Config


class Contrastive(Strategy):
    """Supervised contrastive learning (Khosla et al., 2020, equation 2), in addition to the loss of the labels.

    A batch's rows (words, where each is answered) are compared by the cosine of their features, divided by
    ``temperature``: the penalty is ``strength`` times the mean, over the rows that have another of their class in the
    batch, of minus the mean log-probability of those others among all other rows. In the end the head is fitted by
    logistic regression on the features of all rows so far, which are therefore kept. Unlike in the paper, there is no
    projection after the encoder, rows are not augmented, and the head learns along with the encoder (Gunel et al.,
    2021, equation 1), so that the best epoch can be chosen and other strategies have answers to work with.

    >>> Contrastive(temperature=0.1).keeps_past
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.PROBABILITIES, Capability.LINEAR_HEAD})
    keeps_past: ClassVar[bool] = True
    ends_first: ClassVar[bool] = True

    strength: float = Field(1.0, gt=0, description="Weight of the contrastive loss; that of the labels has 1")
    temperature: float = Field(0.1, gt=0, description="Divisor of the cosines (tau): below 1, near rows weigh more")

    def objection(self, config: Config) -> str | None:
        """Reject a tuning that leaves the features as they are, and another strategy that sets the head in the end."""
        tuning: Tuning = plugins.build(Tuning, config.model.tuning)
        if not tuning.trains_encoder:
            return f"it moves the features, which model.tuning: {tuning.name} does not train; change one of the two"
        if ending := [other.name for other in self.others(config) if other.ends_first]:
            return f"it sets the head in the end, and so does '{ending[0]}'; leave one of the two out"
        return super().objection(config)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the weighted contrastive loss of the batch, each row's term times its weight."""
        import torch

        task, batch = update.learner.task, step.batch
        own = task.by_row(update.learner.features(step.states[-1], batch), batch.targets)
        targets = torch.cat([row.flatten() for row in task.by_row(batch.targets, batch.targets)])
        weights = None
        if batch.weights is not None:
            counts = torch.tensor([len(row) for row in own], device=targets.device)
            weights = batch.weights.repeat_interleave(counts)
        loss = contrastive_loss(torch.cat(own), targets, self.temperature, weights)
        return None if loss is None else self.strength * loss

    def end(self, update: Update) -> State:
        """Fit the head on all rows so far."""
        from cl.models.linear_head import LinearHead
        from cl.models.warm_start import MAX_ROWS, warm_start_head
        from cl.models.weights import columns_to_learn

        learner, lesson = update.learner, update.lesson
        assert isinstance(learner.head, LinearHead), "a head solved in closed form is not trained"
        columns = learner.task.schema.names
        parts = [part[columns_to_learn(part, columns)] for part in (lesson.past(), lesson.rows) if len(part)]
        rows = pd.concat(parts, ignore_index=True)
        learner.eval_mode()
        warm_start_head(learner, rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=0))
        return update.state


def contrastive_loss(
    features: torch.Tensor, targets: torch.Tensor, temperature: float, weights: torch.Tensor | None = None
) -> torch.Tensor | None:
    """Return the mean loss of rows that have another of their class in the batch; None: no row has one.

    Args:
        features: (rows, width), of any length.
        targets: each row's class (rows,).
        temperature: divisor of the cosines.
        weights: factor of each row's term (rows,); None: 1.
    """
    import torch

    directions = torch.nn.functional.normalize(features.float(), dim=-1)
    others = ~torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    alike = (targets[:, None] == targets[None, :]) & others
    counted = alike.any(1)
    if not bool(counted.any()):
        return None
    cosines = (directions @ directions.T / temperature).masked_fill(~others, -torch.inf)
    log_shares = cosines.log_softmax(1).masked_fill(~alike, 0.0)
    terms = -log_shares.sum(1)[counted] / alike.sum(1)[counted]
    return terms.mean() if weights is None else (terms * weights[counted]).mean()
