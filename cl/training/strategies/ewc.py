"""Elastic weight consolidation: parameters that past experiences need are held near their old values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl.training.strategies import State, Step, Strategy, Update, _anchors

if TYPE_CHECKING:
    import torch


PACE = 0.2
"""How fast the strength follows: e-fold in five steps at most."""
LEAST, MOST = 1e-2, 1e8


class EWC(Strategy):
    """EWC (Kirkpatrick et al., 2017, equation 3) in its online form (Schwarz et al., 2018, section 3.2).

    The penalty is ``strength / 2 * sum_i F_i (theta_i - anchor_i)^2``. F is the diagonal Fisher information, the mean
    over rows of squared per-row gradients; after each experience ``F <- decay * F + F_new`` and the anchor moves to
    the weights just learnt, as Schwarz et al. have it. With ``anchor: each`` every experience is held where it was
    learnt itself: the sum of Kirkpatrick et al. (with ``decay: 1``), exactly, and in the memory of one, for a sum of
    quadratics is a quadratic around their weighted mean.

    For one experience half the sum over i is how many nats the loss of one of its rows is expected to rise by; for
    several it is the sum of that over them, the older counting less: up to ``1 / (1 - decay)`` of them.

    The loss that it is added to is a mean over a batch, so ``strength`` is past rows for each new row, of every
    experience: 2,000 beside 1,000 new rows holds as 2,000,000 past rows would. Where words are tagged, the loss is a
    mean over words and F is of whole sentences: past sentences for each new word.

    With a ``tolerance`` the strength is set from data instead of by guess: it is the multiplier of the constraint that
    the loss of a past row, of a past sentence where words are tagged, is expected to rise by no more than this in the
    mean over experiences (from their common mean, with ``anchor: each``); it grows while the rise is beyond it and
    falls while it is not (Rezende and Viola, 2018, algorithm 1). EWC keeps what shared classes need; when every
    experience brings classes of its own, no quadratic keeps the old ones from being outshouted, and replay is what
    helps.
    """

    holds: ClassVar[str | None] = "weights"

    strength: float = Field(2_000.0, gt=0, description="Weight of the penalty: past rows for each new row (lambda)")
    tolerance: float | None = Field(
        None,
        gt=0,
        description="Nats by which a past row's loss may rise, in the mean over experiences; the search for the "
        "strength then begins at the one given",
    )
    decay: float = Field(0.95, ge=0, le=1, description="How much of the older Fisher information stays (gamma)")
    anchor: Literal["last", "each"] = Field(
        "last",
        description="What is held: the weights last learnt (online EWC), or each experience's own (EWC)",
    )
    fisher_rows: int = Field(512, ge=1, description="Rows that the Fisher information is estimated on, at most")
    fisher: Literal["empirical", "true"] = Field(
        "true",
        description="Gradients for the labels given (empirical) or for labels drawn from the model (true)",
    )

    def begin(self, update: Update) -> None:
        """Hold what the last experience left, or each one's own weights."""
        if self.anchor == "last":
            _anchors.begin_anchored(update)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return half the strength times the Fisher-weighted squared distance from the anchor."""
        if self.tolerance is None:
            return _anchors.anchor_gradient(update, importance="fisher", strength=self.strength)
        rise = _mean_rise(update)
        return None if rise is None else self._multiplier(update, rise.detach() / self.tolerance) * rise

    def _multiplier(self, update: Update, share: torch.Tensor) -> torch.Tensor:
        """Return the strength for this step, and move it by what share of the tolerance is used up."""
        import torch

        now = update.scratch.get("multiplier", torch.tensor(self.strength)).to(share.device)
        beyond = (share - 1).clamp(-1, 1)
        update.scratch["multiplier"] = (now * (PACE * beyond).exp()).clamp(LEAST, MOST)
        return now

    def remember(self, update: Update) -> State:
        """Add this experience's Fisher information and move the anchor."""
        import torch

        from cl.training.strategies._fisher import diagonal_fisher

        lesson = update.lesson
        chosen = lesson.rng.permutation(len(lesson.rows))[: self.fisher_rows]
        new = diagonal_fisher(update.learner, lesson.rows.iloc[sorted(chosen)], labels=self.fisher, rng=lesson.rng)
        old, tensors = update.state.tensors, _anchors.drop_removed(update, new, importance="fisher", decay=self.decay)
        for name, fisher in new.items():
            tensors[f"weight.{name}"] = 1 + self.decay * old.get(f"weight.{name}", torch.zeros(()))
            if self.anchor == "each" and (before := old.get(f"anchor.{name}")) is not None:
                own, total = tensors[f"anchor.{name}"], tensors[f"fisher.{name}"]
                tensors[f"anchor.{name}"] = _anchors.move_anchor(before, own, importance=fisher.cpu(), total=total)
        return State(tensors=tensors, seen=update.state.seen + len(lesson.rows))

    def pass_on(self, update: Update) -> State:
        """Return Fisher information and anchor of the student, over all rows at once: it has weights of its own."""
        return self.remember(replace(update, state=State()))


def _mean_rise(update: Update) -> torch.Tensor | None:
    """Return by how much a past row's loss is expected to rise, in the mean over experiences.

    ``weight.PARAMETER``, the sum of ``decay^k``, is that of the experiences in its Fisher information: a part of the
    head that came later is in fewer.
    """
    import torch

    weights, found = update.state.tensors, _anchors.anchor_distances(update, importance="fisher")
    rises = [one / (2 * weights.get(f"weight.{name}", torch.ones(()))) for name, one in found.items()]
    return torch.stack(rises).sum() if rises else None
