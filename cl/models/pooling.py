"""How the states of a row become one vector."""

from __future__ import annotations

import torch


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average states (rows, length, width) over the positions where the mask is 1.

    Sentence encoders are trained to be read so (Reimers and Gurevych, 2019, section 3).
    """
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
