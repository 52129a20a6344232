"""Quadratic penalties that hold parameters near an anchor, weighted by their importance for past experiences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cl.training.strategies import Update

if TYPE_CHECKING:
    import torch


def move_anchors_to_start(update: Update) -> None:
    """Move each existing anchor to the weights that this update starts from.

    They differ from the stored anchor if a tuning such as LoRA has been merged into them since, or if another strategy
    has learned without this one: pulling them back to the stored anchor would forget that.
    """
    for name, parameter in update.learner.parameters():
        if f"anchor.{name}" in update.state.tensors:
            update.cache[f"anchor.{name}"] = parameter.detach().clone()


def cached_tensor(update: Update, key: str) -> torch.Tensor:
    """Return a tensor of the state on the learner's device; it is copied once and cached for all steps."""
    if key not in update.cache:
        update.cache[key] = update.state.tensors[key].to(update.learner.device)
    result: torch.Tensor = update.cache[key]
    return result


def anchor_penalty(update: Update, *, importance: str, strength: float) -> torch.Tensor | None:
    """Return ``strength / 2 * sum_i importance_i (theta_i - anchor_i)^2``, or None without an anchor."""
    import torch

    distances = anchor_distances(update, importance=importance)
    return strength / 2 * torch.stack(list(distances.values())).sum() if distances else None


def anchor_distances(update: Update, *, importance: str) -> dict[str, torch.Tensor]:
    """Return ``sum_i importance_i (theta_i - anchor_i)^2`` for each trainable parameter with an anchor.

    ``importance`` names the state's tensors ``IMPORTANCE.PARAMETER``; the anchors are ``anchor.PARAMETER``.
    """
    return {
        name: (
            cached_tensor(update, f"{importance}.{name}")
            * (parameter - cached_tensor(update, f"anchor.{name}")).square()
        ).sum()
        for name, parameter in update.learner.parameters()
        if f"{importance}.{name}" in update.state.tensors
    }


def update_importance(
    update: Update, new: dict[str, torch.Tensor], *, importance: str, decay: float
) -> dict[str, torch.Tensor]:
    """Return the tensors of the next state: importance ``decay * old + new``, anchors at the current weights.

    Parameters that this update did not train keep their tensors: another tuning may train them again.
    """
    tensors = dict(update.state.tensors)
    for name, parameter in update.learner.parameters():
        old = update.state.tensors.get(f"{importance}.{name}")
        tensors[f"{importance}.{name}"] = new[name].cpu() if old is None else decay * old + new[name].cpu()
        tensors[f"anchor.{name}"] = parameter.detach().cpu().clone()
    return tensors


def merge_anchors(
    old: torch.Tensor, now: torch.Tensor, *, importance: torch.Tensor, total: torch.Tensor
) -> torch.Tensor:
    """Return the minimum of the sum of two quadratics: the mean of both anchors, weighted by importance.

    ``sum_k F_k (theta - theta_k)^2`` equals ``(sum_k F_k) (theta - mean)^2`` plus a constant, so one anchor represents
    all. ``importance`` is that of the new anchor, ``total`` that of both; where ``total`` is 0, the new anchor is used.
    """
    import torch

    share = torch.where(total > 0, importance / total, 1.0)
    return torch.lerp(old, now, share)
