"""Logistic regression with an L2 penalty, by L-BFGS: multinomial, or one for each label where a row has several."""

from __future__ import annotations

import torch
from torch import nn

ITERATIONS = 100


def fit_logistic(
    features: torch.Tensor,
    targets: torch.Tensor,
    classes: int,
    *,
    decay: float,
    weights: torch.Tensor | None = None,
    start: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights (features, classes) and biases (classes,) with the highest penalised likelihood.

    Args:
        features: of each row (rows, features), in any scale.
        targets: the class of each row (rows,), or (rows, classes) with 1 for each class that a row has.
        classes: their number.
        decay: L2 penalty on the weights, for features scaled to a root mean square of one.
        weights: what each row counts; None: once.
        start: weights and biases to begin with, such as those of a fit on fewer rows: the optimum is the same, and few
            steps away; None: zeros.
    """
    shares = None if weights is None else (weights / weights.sum()).to(features)
    squares = features.square().mean() if shares is None else shares @ features.square().mean(1)
    scale = squares.sqrt().clamp(min=1e-6)
    inputs = features / scale
    weight, bias = torch.zeros(features.shape[1], classes), torch.zeros(classes)
    if start is not None:
        weight, bias = start[0] * scale, start[1].clone()
    weight.requires_grad_(), bias.requires_grad_()
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = _likelihood_loss(inputs @ weight + bias, targets, shares) + decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimiser.step(closure)
    return weight.detach() / scale, bias.detach()


def _likelihood_loss(logits: torch.Tensor, targets: torch.Tensor, shares: torch.Tensor | None) -> torch.Tensor:
    """Return the mean cross-entropy of rows, each with its share in it; None: all have the same.

    That of a row which may have several classes is the sum over all classes.
    """
    if targets.ndim == 2:
        wanted = nn.functional.pad(targets.clamp(min=0).to(logits), (0, logits.shape[1] - targets.shape[1]))
        losses = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1)
        return losses.mean() if shares is None else shares @ losses
    if shares is None:
        return torch.nn.functional.cross_entropy(logits, targets)
    return shares @ torch.nn.functional.cross_entropy(logits, targets, reduction="none")
