"""Train only the top layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings import Tuning, encoder_layers

if TYPE_CHECKING:
    from torch import nn


class TopLayers(Tuning):
    """Fine-tunes the last transformer layers; those below stay frozen.

    >>> from cl.testing import tiny_encoder
    >>> len(TopLayers(layers=1).moving(tiny_encoder(layers=2)))
    16
    """

    layers: int = Field(2, ge=1, description="How many of the top layers are trained")

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return the parameters of the last layers."""
        return [
            parameter for layer in list(encoder_layers(encoder))[-self.layers :] for parameter in layer.parameters()
        ]
