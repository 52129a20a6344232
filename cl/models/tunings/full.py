"""All layers move; the embeddings stay, unless asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings import Tuning, encoder_layers

if TYPE_CHECKING:
    from torch import nn


class Full(Tuning):
    """Fine-tunes every layer above the frozen ones.

    Word embeddings are half of a small encoder's parameters, and most of them belong to words that an update
    never sees: frozen, they cost neither time nor optimiser state.
    """

    embeddings: bool = Field(False, description="Whether the embeddings move as well")
    frozen_layers: int = Field(0, ge=0, description="Lower transformer layers that stay as they are")

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return all parameters but those of the embeddings and of the lower layers."""
        still: set[int] = set()
        if not self.embeddings:
            words = encoder.get_input_embeddings()  # type: ignore[operator]
            still |= {id(parameter) for parameter in [*words.parameters(), *_embeddings(encoder, words).parameters()]}
        for layer in list(encoder_layers(encoder))[: self.frozen_layers]:
            still |= {id(parameter) for parameter in layer.parameters()}
        return [parameter for parameter in encoder.parameters() if id(parameter) not in still]


def _embeddings(encoder: nn.Module, words: nn.Module) -> nn.Module:
    """Return the block of word, position and type embeddings with its norm, where the encoder has one."""
    block = getattr(encoder, "embeddings", words)
    return block if hasattr(block, "parameters") else words
