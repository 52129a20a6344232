"""Methods of merging what several updates add to the weights of one layer, each with its paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Method = Literal["linear", "ties", "dare", "magmax"]


def merge_linear(updates: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return the weighted sum of updates (width out, width in)."""
    import torch

    total = torch.zeros_like(updates[0])
    for update, weight in zip(updates, weights, strict=True):
        total += weight * update
    return total


def merge_ties(updates: Sequence[torch.Tensor], weights: Sequence[float], *, density: float) -> torch.Tensor:
    """Return TIES (Yadav et al., 2023, algorithm 1): trim, elect a sign for each entry, and mean of those that have it.

    Unlike in the paper, the largest entries are chosen in each layer by itself, and the updates have weights, in the
    election and in the mean; with equal weights it is the paper's.

    Args:
        updates: of one layer, each (width out, width in).
        weights: of the updates, 0 or more.
        density: the share of an update's entries that is kept, the largest.
    """
    import torch

    trimmed = [_trim(update, density) for update in updates]
    elected = merge_linear(trimmed, weights).sign()
    total, counted = torch.zeros_like(elected), torch.zeros_like(elected)
    for update, weight in zip(trimmed, weights, strict=True):
        agrees = (update.sign() == elected) & (update != 0)
        total += weight * update * agrees
        counted += weight * agrees
    return torch.where(counted > 0, total / counted.where(counted > 0, torch.ones_like(counted)), total)


def _trim(update: torch.Tensor, density: float) -> torch.Tensor:
    """Return an update without its smallest entries: they are 0."""
    sizes = update.abs().flatten()
    kept = max(1, round(density * len(sizes)))
    least = sizes.kthvalue(len(sizes) - kept + 1).values
    return update * (update.abs() >= least)


def merge_dare(
    updates: Sequence[torch.Tensor], weights: Sequence[float], *, density: float, generator: torch.Generator
) -> torch.Tensor:
    """Return DARE (Yu et al., 2024, equations 2 and 3): drop entries by chance, rescale the others, and add up.

    Args:
        updates: of one layer, each (width out, width in).
        weights: of the updates.
        density: the chance of an entry to be kept, ``1 - p`` in the paper.
        generator: draws which; on the CPU.
    """
    import torch

    kept = [torch.rand(update.shape, generator=generator) < density for update in updates]
    thinned = [update * mask.to(update.device) / density for update, mask in zip(updates, kept, strict=True)]
    return merge_linear(thinned, weights)


def merge_magmax(updates: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Return MagMax (Marczak et al., 2024, equation 3): each entry is that of the update in which it is largest.

    Unlike in the paper, sizes are compared times the weights of the updates; with equal weights it is the paper's. Of
    entries of one size, that of the first update is taken.
    """
    import torch

    chosen, largest = updates[0], weights[0] * updates[0].abs()
    for update, weight in zip(updates[1:], weights[1:], strict=True):
        size = weight * update.abs()
        chosen, largest = torch.where(size > largest, update, chosen), torch.maximum(size, largest)
    return chosen
