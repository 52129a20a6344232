"""How the states of a row become one vector, and at which piece a word is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average states (rows, length, width) over the positions where the mask is 1.

    Sentence encoders are trained to be read so (Reimers and Gurevych, 2019, section 3).
    """
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def last_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return each row's state (rows, width) at its last position where the mask is 1.

    Of a decoder's states only the last has seen the whole text (Radford et al., 2018, section 3.2).

    >>> last_pool(torch.tensor([[[1.0], [2.0], [9.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[2.]])
    """
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask.bool(), positions, 0).amax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


@dataclass(frozen=True)
class Reading:
    """Where a model's answers are read: a property of the version, the same in training and in answering.

    ``pooling`` is how a row's states become one vector, ``piece`` the piece of a word at which its tag is read. The
    defaults are those of an encoder, in which each token sees the whole row.
    """

    pooling: Literal["mean", "last"] = "mean"
    piece: Literal["first", "last"] = "first"

    def pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return one vector for each row (rows, width), from states (rows, length, width) and the mask."""
        return last_pool(states, mask) if self.pooling == "last" else mean_pool(states, mask)


ENCODER = Reading()
"""How a model is read in which each token sees the whole row."""
DECODER = Reading("last", "last")
"""How a model is read in which each token sees only those before it."""
