"""Elastic weight consolidation: hold parameters that past experiences need near their old values."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cl.training.strategies import State, Step, Strategy, Update, _anchors

if TYPE_CHECKING:
    import torch


PACE = 0.2
"""How fast the strength adapts: at most by a factor of e in five steps."""
MIN_STRENGTH, MAX_STRENGTH = 1e-2, 1e8


class EWC(Strategy):
    """EWC (Kirkpatrick et al., 2017, equation 3) in its online form (Schwarz et al., 2018, section 3.2).

    The penalty is ``strength / 2 * sum_i F_i (theta_i - anchor_i)^2``. F is the diagonal Fisher information, the mean
    over rows of squared per-row gradients; after each experience ``F <- decay * F + F_new`` and the anchor moves to
    the current weights, as in Schwarz et al. With ``anchor: each`` every experience has its own anchor: with
    ``decay: 1`` this is exactly the sum of Kirkpatrick et al., in the memory of one term, because a sum of quadratics
    is a quadratic around their weighted mean.

    For one experience, half the sum over i is the expected rise in the loss of one of its rows, in nats; for several
    it is the sum over them, with older ones weighted less: up to ``1 / (1 - decay)`` experiences in total.

    The training loss is a mean over a batch, so ``strength`` counts past rows of each experience per new row: 2,000
    with 1,000 new rows has the effect of 2,000,000 past rows. For token tasks the loss is a mean over words, while F is
    per sentence: ``strength`` counts past sentences per new word.

    With a ``tolerance`` the strength is set from data: it is the multiplier of the constraint that the loss of a past
    row (a past sentence, for token tasks) is expected to rise by no more than this, in the mean over experiences (from
    their common mean, with ``anchor: each``). It grows while the rise exceeds the tolerance and falls otherwise
    (Rezende and Viola, 2018, algorithm 1). EWC preserves what shared classes need; when every experience brings its
    own classes, no quadratic penalty keeps new classes from dominating the old, and replay is needed.

    >>> EWC(strength=100.0).anchored_to
    'weights'
    """

    anchored_to: ClassVar[str | None] = "weights"
    describes_weights: ClassVar[bool] = True

    strength: float = Field(2_000.0, gt=0, description="Weight of the penalty: past rows per new row (lambda)")
    tolerance: float | None = Field(
        None,
        gt=0,
        description="Nats by which a past row's loss may rise, in the mean over experiences; strength is then only "
        "the initial value",
    )
    decay: float = Field(0.95, ge=0, le=1, description="How much of the older Fisher information stays (gamma)")
    anchor: Literal["last", "each"] = Field(
        "last",
        description="Hold the latest weights (last: online EWC), or those of each experience (each: EWC)",
    )
    fisher_rows: int = Field(512, ge=1, description="Most rows to estimate the Fisher information on")
    fisher: Literal["empirical", "true"] = Field(
        "true",
        description="Use gradients of the given labels (empirical) or of labels drawn from the model (true)",
    )

    def begin(self, update: Update) -> None:
        """With ``anchor: last``, move the anchor to the weights that this update starts from."""
        if self.anchor == "last":
            _anchors.move_anchors_to_start(update)

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return half the strength times the Fisher-weighted squared distance from the anchor."""
        if self.tolerance is None:
            return _anchors.anchor_penalty(update, importance="fisher", strength=self.strength)
        rise = _mean_rise(update)
        return None if rise is None else self._multiplier(update, rise.detach() / self.tolerance) * rise

    def _multiplier(self, update: Update, share: torch.Tensor) -> torch.Tensor:
        """Return the strength for this step, then adapt it to the share of the tolerance that is used."""
        import torch

        strength = update.scratch.get("multiplier", torch.tensor(self.strength)).to(share.device)
        excess = (share - 1).clamp(-1, 1)
        update.scratch["multiplier"] = (strength * (PACE * excess).exp()).clamp(MIN_STRENGTH, MAX_STRENGTH)
        return strength

    def end(self, update: Update) -> State:
        """Add this experience's Fisher information and move the anchor."""
        import torch

        from cl.training.strategies._fisher import diagonal_fisher

        lesson = update.lesson
        chosen = lesson.rng.permutation(len(lesson.rows))[: self.fisher_rows]
        new = diagonal_fisher(update.learner, lesson.rows.iloc[sorted(chosen)], labels=self.fisher, rng=lesson.rng)
        old, tensors = (
            update.state.tensors,
            _anchors.update_importance(update, new, importance="fisher", decay=self.decay),
        )
        for name, fisher in new.items():
            tensors[f"weight.{name}"] = 1 + self.decay * old.get(f"weight.{name}", torch.zeros(()))
            if self.anchor == "each" and (before := old.get(f"anchor.{name}")) is not None:
                own, total = tensors[f"anchor.{name}"], tensors[f"fisher.{name}"]
                tensors[f"anchor.{name}"] = _anchors.merge_anchors(before, own, importance=fisher.cpu(), total=total)
        return State(tensors=tensors, seen=update.state.seen + len(lesson.rows))


def _mean_rise(update: Update) -> torch.Tensor | None:
    """Return the expected rise in a past row's loss, in the mean over experiences.

    ``weight.PARAMETER`` is the sum of ``decay^k`` over the experiences in its Fisher information: a part of the head
    that was added later has fewer.
    """
    import torch

    weights, distances = update.state.tensors, _anchors.anchor_distances(update, importance="fisher")
    rises = [distance / (2 * weights.get(f"weight.{name}", torch.ones(()))) for name, distance in distances.items()]
    return torch.stack(rises).sum() if rises else None
