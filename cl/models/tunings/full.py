"""Train all layers, and the embeddings only if configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings import Tuning, encoder_layers

if TYPE_CHECKING:
    from torch import nn


class Full(Tuning):
    """Fine-tunes every layer above the frozen ones.

    Word embeddings are half of a small encoder's parameters, and most belong to words that an update never sees:
    frozen, they cost neither time nor optimiser state.

    >>> from cl.testing import tiny_encoder
    >>> len(Full(frozen_layers=1).moving(tiny_encoder())) < len(Full().moving(tiny_encoder()))
    True
    """

    embeddings: bool = Field(False, description="Whether the embeddings are trained as well")
    frozen_layers: int = Field(0, ge=0, description="How many of the lowest transformer layers stay frozen")

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return all parameters except those of frozen embeddings and layers."""
        frozen: set[int] = set()
        if not self.embeddings:
            words = encoder.get_input_embeddings()  # type: ignore[operator]
            block = _embedding_block(encoder, words)
            frozen |= {id(parameter) for parameter in [*words.parameters(), *block.parameters()]}
        for layer in list(encoder_layers(encoder))[: self.frozen_layers]:
            frozen |= {id(parameter) for parameter in layer.parameters()}
        return [parameter for parameter in encoder.parameters() if id(parameter) not in frozen]


def _embedding_block(encoder: nn.Module, words: nn.Module) -> nn.Module:
    """Return the block of word, position and type embeddings with its norm, if the encoder has one."""
    block = getattr(encoder, "embeddings", words)
    return block if hasattr(block, "parameters") else words
