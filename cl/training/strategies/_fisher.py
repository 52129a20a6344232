"""Estimate the diagonal of the Fisher information from per-row squared gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import torch

from cl.models.learner import Learner
from cl.training.strategies._per_example_gradients import ROWS_AT_ONCE, add_square, mean_over_rows


def diagonal_fisher(
    learner: Learner,
    rows: pd.DataFrame,
    *,
    labels: Literal["empirical", "true"],
    rng: np.random.Generator,
    rows_at_once: int = ROWS_AT_ONCE,
) -> dict[str, torch.Tensor]:
    """Return, for each trainable parameter, the mean over rows of its squared gradient, weighted if rows are.

    The gradient is that of one row's negative log-likelihood, summed over its predictions. Labels are those given
    (empirical Fisher) or drawn from the model (the Fisher information itself; Kunstner et al., 2019, section 2).
    Padding is ignored.
    """
    generator = torch.Generator(device=learner.device).manual_seed(int(rng.integers(2**31)))

    def negative_log_likelihood(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        task = learner.task
        labels_of_rows = targets if labels == "empirical" else task.draw_targets(logits, targets, generator)
        return task.loss(logits, labels_of_rows, summed=True)

    return mean_over_rows(
        learner, rows, objective=negative_log_likelihood, add=add_square, degree=2, rows_at_once=rows_at_once
    )
