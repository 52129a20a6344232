"""The classification head: it grows with new labels and leaves the old logits as they were."""

from __future__ import annotations

import torch
from torch import nn


class LinearHead(nn.Module):
    """Dropout and one linear block for every time that labels were added.

    A block of its own for each growth, rather than one larger matrix, keeps the old logits equal to the bit:
    matrix kernels may sum in another order when their output gets wider.
    """

    def __init__(self, width: int, sizes: list[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    @property
    def layers(self) -> int:
        """How many of the encoder's last layers it reads."""
        return 1

    @property
    def described(self) -> dict[str, object]:
        """What `load_learner` needs to make it again."""
        return {"sizes": self.sizes}

    def combine(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Return what `forward` takes: the features of the last layer, as they are."""
        return features[-1]

    @property
    def sizes(self) -> list[int]:
        """Labels in each block, oldest first."""
        return [block.out_features for block in self.blocks]  # type: ignore[misc]

    def grow(self, labels: int, generator: torch.Generator) -> None:
        """Add a block for new labels, small at first so that it takes little from the old ones."""
        block = nn.Linear(self.width, labels)
        with torch.no_grad():
            block.weight.normal_(0.0, 0.02, generator=generator)
            block.bias.zero_()
        self.blocks.append(block)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map (..., width) to (..., labels)."""
        states = self.dropout(states)
        return torch.cat([block(states) for block in self.blocks], dim=-1)
