"""Parameters that are held near where they were, each as firmly as the past needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl.training.strategies import Update

if TYPE_CHECKING:
    import torch


def begin_anchored(update: Update) -> None:
    """Hold the weights that this update begins with, wherever there is an anchor.

    They are the ones last learnt, but that a tuning such as LoRA may have been merged into them since, or another
    strategy have learnt without this one: to go back to the anchor would be to forget that.
    """
    for name, parameter in update.learner.parameters():
        if f"anchor.{name}" in update.state.tensors:
            update.cache[f"anchor.{name}"] = parameter.detach().clone()


def anchored_penalty(update: Update, key: str) -> torch.Tensor:
    """Return one of the state's tensors on the learner's device, where it is copied once for all steps."""
    if key not in update.cache:
        update.cache[key] = update.state.tensors[key].to(update.learner.device)
    return update.cache[key]


def anchor_gradient(update: Update, *, importance: str, strength: float) -> torch.Tensor | None:
    """Return ``strength / 2 * sum_i importance_i (theta_i - anchor_i)^2``, or None before there is an anchor."""
    import torch

    found = anchor_distances(update, importance=importance)
    return strength / 2 * torch.stack(list(found.values())).sum() if found else None


def anchor_distances(update: Update, *, importance: str) -> dict[str, torch.Tensor]:
    """Return ``sum_i importance_i (theta_i - anchor_i)^2`` of every parameter that moves and has an anchor.

    ``importance`` names the state's tensors ``IMPORTANCE.PARAMETER``; the anchors are ``anchor.PARAMETER``.
    """
    return {
        name: (
            anchored_penalty(update, f"{importance}.{name}")
            * (parameter - anchored_penalty(update, f"anchor.{name}")).square()
        ).sum()
        for name, parameter in update.learner.parameters()
        if f"{importance}.{name}" in update.state.tensors
    }


def drop_removed(
    update: Update, new: dict[str, torch.Tensor], *, importance: str, decay: float
) -> dict[str, torch.Tensor]:
    """Return the tensors of the next state: the new importance added to ``decay`` of the old, anchors where we are.

    What this update did not move keeps what it had: another tuning may move it again.
    """
    tensors = dict(update.state.tensors)
    for name, parameter in update.learner.parameters():
        old = update.state.tensors.get(f"{importance}.{name}")
        tensors[f"{importance}.{name}"] = new[name].cpu() if old is None else decay * old + new[name].cpu()
        tensors[f"anchor.{name}"] = parameter.detach().cpu().clone()
    return tensors


def move_anchor(old: torch.Tensor, now: torch.Tensor, *, importance: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Return where the sum of two quadratics is least: the mean of old and new anchor, weighted by importance.

    ``sum_k F_k (theta - theta_k)^2`` is ``(sum_k F_k) (theta - mean)^2`` and a constant, so that one anchor stands for
    all. ``importance`` is that of the new one, ``total`` that of both; where nothing matters, it is the new one.
    """
    import torch

    share = torch.where(total > 0, importance / total, 1.0)
    return torch.lerp(old, now, share)
