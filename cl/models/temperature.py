"""Temperature scaling: one temperature for all logits."""

from __future__ import annotations

import torch

SMALLEST, LARGEST, HALVINGS = 1e-3, 1e3, 60


@torch.no_grad()
def fit_temperature(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> float:
    """Return the temperature that maximises the likelihood of logits (rows, classes) divided by it.

    Guo et al., 2017, section 4.2. The likelihood has a single peak in 1/T; golden-section search on log T finds it.
    Each row counts as its weight says; None: once.
    """
    if not len(targets):
        return 1.0
    logits = logits.double()

    def loss(log_t: torch.Tensor) -> float:
        if weights is None:
            return float(torch.nn.functional.cross_entropy(logits / log_t.exp(), targets))
        return float(
            weights.double() @ torch.nn.functional.cross_entropy(logits / log_t.exp(), targets, reduction="none")
        )

    low, high = torch.tensor(SMALLEST).log().double(), torch.tensor(LARGEST).log().double()
    golden = (5**0.5 - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    left_loss, right_loss = loss(left), loss(right)
    for _ in range(HALVINGS):
        if left_loss < right_loss:
            high, right, right_loss = right, left, left_loss
            left = high - golden * (high - low)
            left_loss = loss(left)
        else:
            low, left, left_loss = left, right, right_loss
            right = low + golden * (high - low)
            right_loss = loss(right)
    return float(((low + high) / 2).exp())
