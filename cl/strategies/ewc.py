"""Elastic weight consolidation: parameters that past experiences need are held near their old values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cl.strategies import State, Step, Strategy, Update

if TYPE_CHECKING:
    import torch


class EWC(Strategy):
    """Online EWC (Schwarz et al., 2018, section 3.2; EWC: Kirkpatrick et al., 2017, equation 3).

    The penalty is ``strength / 2 * sum_i F_i (theta_i - anchor_i)^2``. F is the diagonal Fisher information, the mean
    over rows of squared per-row gradients; after each experience ``F <- decay * F + F_new`` and the anchor moves to
    the weights just learnt. Because F is a mean over rows, the strength does not depend on how many rows
    there were: it acts as the number of past rows that the quadratic stands for.
    """

    strength: float = Field(2_000.0, gt=0, description="Weight of the penalty: about the rows that the past counts for")
    decay: float = Field(0.95, ge=0, le=1, description="How much of the older Fisher information stays (gamma)")
    fisher_rows: int = Field(512, ge=1, description="Rows that the Fisher information is estimated on, at most")
    fisher: Literal["empirical", "true"] = Field(
        "true",
        description="Gradients for the labels given (empirical) or for labels drawn from the model (true)",
    )

    def penalty(self, update: Update, step: Step) -> torch.Tensor | None:
        """Return half the strength times the Fisher-weighted squared distance from the anchor."""
        return anchored(update, importance="fisher", strength=self.strength)

    def remember(self, update: Update) -> State:
        """Add this experience's Fisher information and move the anchor."""
        from cl.training.fisher import diagonal_fisher

        lesson, state = update.lesson, update.state
        chosen = lesson.rng.permutation(len(lesson.rows))[: self.fisher_rows]
        new = diagonal_fisher(update.learner, lesson.rows.iloc[sorted(chosen)], labels=self.fisher, rng=lesson.rng)
        tensors = {}
        for name, parameter in update.learner.parameters():
            old = state.tensors.get(f"fisher.{name}")
            tensors[f"fisher.{name}"] = new[name].cpu() if old is None else self.decay * old + new[name].cpu()
            tensors[f"anchor.{name}"] = parameter.detach().cpu().clone()
        return State(tensors=tensors, seen=state.seen + len(lesson.rows))


def anchored(update: Update, *, importance: str, strength: float) -> torch.Tensor | None:
    """Return ``strength / 2 * sum_i importance_i (theta_i - anchor_i)^2``, or None before there is an anchor.

    ``importance`` names the state's tensors ``IMPORTANCE.PARAMETER``; the anchors are ``anchor.PARAMETER``.
    """
    import torch

    terms, tensors = [], update.state.tensors
    for name, parameter in update.learner.parameters():
        if f"{importance}.{name}" in tensors:
            weight = tensors[f"{importance}.{name}"].to(parameter.device)
            anchor = tensors[f"anchor.{name}"].to(parameter.device)
            terms.append((weight * (parameter - anchor).square()).sum())
    return strength / 2 * torch.stack(terms).sum() if terms else None
