"""Build AdamW with separate learning rates for encoder and head, and their common schedule."""

from __future__ import annotations

import math

import torch

from cl.config import TrainingSettings
from cl.models.learner import Learner


def make_optimiser(learner: Learner, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return fused AdamW over the trainable parameters: the head has its own rate, vectors have no weight decay."""
    groups: dict[tuple[str, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in learner.parameters():
        groups.setdefault((name.split(".")[0], parameter.ndim > 1), []).append(parameter)
    rates = {"encoder": learner.tuning.rate(settings.learning_rate), "head": settings.head_learning_rate}
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": rates[part],
                "weight_decay": settings.weight_decay if matrix else 0.0,
            }
            for (part, matrix), parameters in groups.items()
        ],
        fused=True,
    )


def step_clipped(optimiser: torch.optim.Optimizer, most: float) -> None:
    """Take a step with the gradients scaled down to a norm of at most ``most`` over all parameters.

    As `clip_grad_norm_` and `step`, in one pass less over the weights: fused AdamW divides the gradients by its
    ``grad_scale``, which torch.amp's scaler sets too, and leaves the scaled ones in ``grad``.
    """
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None], foreach=True)
    optimiser.grad_scale = (norm / most).clamp(min=1.0)  # type: ignore[attr-defined]
    optimiser.step()


def make_schedule(
    optimiser: torch.optim.Optimizer, steps: int, settings: TrainingSettings
) -> torch.optim.lr_scheduler.LambdaLR:
    """Return the schedule of the settings: the rate rises linearly over the ``warmup`` share of steps, then falls to 0.

    It falls linearly, along half a cosine (Loshchilov and Hutter, 2017, equation 5, without restarts), or, with
    ``warmup_stable_decay``, linearly over the last ``decay`` share of steps, and stays at its peak before (Hu et al.,
    2024, "MiniCPM", section 4.2, equation 1).
    """
    rise, fall = max(1, round(steps * settings.warmup)), max(1, round(steps * settings.decay))

    def factor(step: int) -> float:
        return min((step + 1) / rise, after_warmup(step))

    def after_warmup(step: int) -> float:
        left = max(0, steps - step)
        if settings.schedule == "warmup_stable_decay":
            return min(1.0, left / fall)
        share = left / max(1, steps - rise)
        return share if settings.schedule == "linear" else (1 - math.cos(math.pi * min(1.0, share))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
