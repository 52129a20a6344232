"""Memory aware synapses: hold parameters that the model's outputs are sensitive to near their old values."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.tasks import Task
from cl.training.strategies import State, Step, Strategy, Update, _anchors

if TYPE_CHECKING:
    import torch


class MAS(Strategy):
    """Memory aware synapses (Aljundi et al., 2018, equations 2 to 4).

    A parameter's importance is the mean over rows of the absolute gradient of the squared length of that row's
    logits; it needs no labels. The penalty is ``strength * sum_i importance_i (theta_i - anchor_i)^2``; importance
    adds up over experiences, as in the paper, unless ``decay`` is below 1. Importance is not a loss, so ``strength``
    has no unit such as EWC's rows and must be tuned. Unlike in the paper, a sentence's length is taken over all its
    tagged words, and importance is estimated on a sample of the new rows.

    >>> MAS().anchored_to
    'weights'
    """

    anchored_to: ClassVar[str | None] = "weights"
    describes_weights: ClassVar[bool] = True

    strength: float = Field(10.0, gt=0, description="Weight of the penalty (lambda); the paper's is 1")
    decay: float = Field(1.0, ge=0, le=1, description="How much of the older importance stays; the paper's sum is 1")
    sampled: int = Field(512, ge=1, description="Most rows to estimate the importance on")

    def begin(self, update: Update) -> None:
        """Move the anchor to the weights that this update starts from."""
        _anchors.move_anchors_to_start(update)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return the strength times the squared distance from the anchor, weighted by importance."""
        return _anchors.anchor_penalty(update, importance="importance", strength=2 * self.strength)

    def end(self, update: Update) -> State:
        """Add this experience's importance and move the anchor."""
        from cl.training.strategies._per_example_gradients import add_absolute, mean_over_rows

        lesson = update.lesson
        chosen = lesson.rows.iloc[sorted(lesson.rng.permutation(len(lesson.rows))[: self.sampled])]
        objective = partial(squared_length, update.learner.task)
        new = mean_over_rows(update.learner, chosen, objective=objective, add=add_absolute)
        tensors = _anchors.update_importance(update, new, importance="importance", decay=self.decay)
        return State(tensors=tensors, seen=update.state.seen + len(lesson.rows))


def squared_length(task: Task, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the sum of squared logits over all predictions whose target counts."""
    import torch

    return torch.cat(task.by_row(logits, targets)).square().sum()
