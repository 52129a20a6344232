"""Elastic weight consolidation: parameters that past experiences need are held near their old values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl.strategies import State, Step, Strategy, Update
from cl.training import anchor

if TYPE_CHECKING:
    import torch


PACE = 0.2
"""How fast the strength follows: e-fold in five steps at most."""
LEAST, MOST = 1e-2, 1e8


class EWC(Strategy):
    """Online EWC (Schwarz et al., 2018, section 3.2; EWC: Kirkpatrick et al., 2017, equation 3).

    The penalty is ``strength / 2 * sum_i F_i (theta_i - anchor_i)^2``. F is the diagonal Fisher information, the mean
    over rows of squared per-row gradients; after each experience ``F <- decay * F + F_new`` and the anchor moves to
    the weights just learnt. Because F is a mean over rows, the strength does not depend on how many rows
    there were: it acts as the number of past rows that the quadratic stands for.

    The quadratic itself, at strength 1, is how many nats the loss of a past row is expected to rise by. With a
    ``tolerance`` the strength is set from data instead of by guess: it is the multiplier of the constraint that this
    rise stays within the tolerance, raised while the rise is beyond it and lowered while it is not (Rezende and
    Viola, 2018, algorithm 1). EWC keeps what shared classes need; when every experience brings classes of its own,
    no quadratic keeps the old ones from being outshouted, and replay is what helps.
    """

    holds: ClassVar[str | None] = "weights"

    strength: float = Field(2_000.0, gt=0, description="Weight of the penalty: about the rows that the past counts for")
    tolerance: float | None = Field(
        None,
        gt=0,
        description="Nats by which a past row's loss may rise; the strength is then only where the search begins",
    )
    decay: float = Field(0.95, ge=0, le=1, description="How much of the older Fisher information stays (gamma)")
    fisher_rows: int = Field(512, ge=1, description="Rows that the Fisher information is estimated on, at most")
    fisher: Literal["empirical", "true"] = Field(
        "true",
        description="Gradients for the labels given (empirical) or for labels drawn from the model (true)",
    )

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return half the strength times the Fisher-weighted squared distance from the anchor."""
        rise = anchor.pull(update, importance="fisher", strength=1.0)
        if rise is None:
            return None
        if self.tolerance is None:
            return self.strength * rise
        return self._multiplier(update, rise.detach() / self.tolerance) * rise

    def _multiplier(self, update: Update, share: torch.Tensor) -> torch.Tensor:
        """Return the strength for this step, and move it by what share of the tolerance is used up."""
        import torch

        now = update.scratch.get("multiplier", torch.tensor(self.strength)).to(share.device)
        beyond = (share - 1).clamp(-1, 1)
        update.scratch["multiplier"] = (now * (PACE * beyond).exp()).clamp(LEAST, MOST)
        return now

    def remember(self, update: Update) -> State:
        """Add this experience's Fisher information and move the anchor."""
        from cl.training.fisher import diagonal_fisher

        lesson = update.lesson
        chosen = lesson.rng.permutation(len(lesson.rows))[: self.fisher_rows]
        new = diagonal_fisher(update.learner, lesson.rows.iloc[sorted(chosen)], labels=self.fisher, rng=lesson.rng)
        tensors = anchor.dropped(update, new, importance="fisher", decay=self.decay)
        return State(tensors=tensors, seen=update.state.seen + len(lesson.rows))
