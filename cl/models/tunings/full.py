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
            frozen |= {id(parameter) for table in _embeddings(encoder) for parameter in table.parameters()}
        for layer in list(encoder_layers(encoder))[: self.frozen_layers]:
            frozen |= {id(parameter) for parameter in layer.parameters()}
        return [parameter for parameter in encoder.parameters() if id(parameter) not in frozen]


def _embeddings(encoder: nn.Module) -> list[nn.Module]:
    """Return the word embeddings, and the block of word, position and type embeddings with its norm if there is one.

    Without a block, as in decoders, they are the tables outside the layers.
    """
    from torch import nn

    words, block = encoder.get_input_embeddings(), getattr(encoder, "embeddings", None)  # type: ignore[operator]
    if isinstance(block, nn.Module):
        return [words, block]
    inside = {id(module) for module in encoder_layers(encoder).modules()}
    tables = [module for module in encoder.modules() if isinstance(module, nn.Embedding) and id(module) not in inside]
    return [words, *tables]
