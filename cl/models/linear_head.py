"""The linear classification head: it grows with new labels without changing the old logits."""

from __future__ import annotations

import torch
from torch import nn


class LinearHead(nn.Module):
    """Dropout, and one linear block for each time that labels were added.

    A separate block for each addition, rather than one larger matrix, keeps the old logits identical to the bit:
    matrix kernels may sum in another order when their output gets wider.
    """

    def __init__(self, width: int, sizes: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    @property
    def layers(self) -> int:
        """How many of the encoder's last layers the head reads."""
        return 1

    @property
    def described(self) -> dict[str, object]:
        """What `load_learner` needs to rebuild the head."""
        return {"sizes": self.sizes}

    def combine(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return the input of `forward`: the features of the last layer, unchanged."""
        return features[-1]

    @property
    def sizes(self) -> list[int]:
        """Number of labels in each block, oldest first."""
        return [block.out_features for block in self.blocks]  # type: ignore[misc]

    def grow(self, labels: int, generator: torch.Generator, *, logit: float = 0.0) -> None:
        """Add a block for new labels, with small weights so that the new labels take little from the old ones.

        Before anything is learned, their logits are close to ``logit``.
        """
        block = nn.Linear(self.width, labels)
        with torch.no_grad():
            block.weight.normal_(0.0, 0.02, generator=generator)
            block.bias.fill_(logit)
        self.blocks.append(block)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map states (..., width) to logits (..., labels)."""
        states = self.dropout(states)
        return torch.cat([block(states) for block in self.blocks], dim=-1)


class OutputLayer(LinearHead):
    """Stands for the output layer of a model that has its own: it has an output for each token, and never grows."""

    def __init__(self, width: int) -> None:
        super().__init__(width, [])

    def grow(self, labels: int, generator: torch.Generator, *, logit: float = 0.0) -> None:
        """Do nothing."""
