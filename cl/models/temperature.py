"""Temperature scaling: one temperature for all logits."""

from __future__ import annotations

import torch

SMALLEST, LARGEST, HALVINGS = 1e-3, 1e3, 60


@torch.no_grad()
def fit_temperature(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> float:
    """Return the temperature that maximises the likelihood of logits (rows, classes) divided by it.

    Targets are classes (rows,), or (rows, classes) with 1 for each class that a row has; each class then has a
    probability of its own. Guo et al., 2017, section 4.2. The likelihood has a single peak in 1/T; golden-section
    search on log T finds it. Each row counts as its weight says; None: once.
    """
    if not len(targets):
        return 1.0
    logits = logits.double()

    def loss(log_t: torch.Tensor) -> float:
        scaled = logits / log_t.exp()
        if targets.ndim == 1 and weights is None:
            return float(torch.nn.functional.cross_entropy(scaled, targets))
        losses = _losses(scaled, targets)
        return float(losses.mean() if weights is None else weights.double() @ losses)

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


def _losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each row; a logit of minus infinity is certain that the class does not apply."""
    if targets.ndim == 1:
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    wanted = torch.nn.functional.pad(targets, (0, logits.shape[1] - targets.shape[1])) > 0
    return torch.nn.functional.softplus(torch.where(wanted, -logits, logits)).sum(1)
