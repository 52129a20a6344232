"""IA3: learned factors on keys, values and feed-forward activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.models.tunings import Tuning, find_parameters
from cl.models.tunings.lora import merge_adapters

if TYPE_CHECKING:
    from torch import nn


class IA3(Tuning):
    """Rescales activations by learned vectors (Liu et al., 2022), through the peft library.

    >>> from cl.testing import tiny_encoder
    >>> tuning = IA3()
    >>> sum(parameter.numel() for parameter in tuning.moving(tuning.attach(tiny_encoder())))
    80
    """

    adds_modules: ClassVar[bool] = True

    targets: list[str] | None = Field(None, description="Names of the layers to rescale; null: peft's choice")
    feedforward: list[str] | None = Field(None, description="Those whose input is rescaled, not their output")
    learning_rate: float = Field(5e-3, gt=0, description="Peak rate of the vectors")

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Add the vectors in place; they start at 1."""
        from peft import IA3Config, inject_adapter_in_model

        config = IA3Config(target_modules=self.targets, feedforward_modules=self.feedforward)
        return inject_adapter_in_model(config, encoder)

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return all vectors."""
        return find_parameters(encoder, "ia3_l")

    def merge(self, encoder: nn.Module) -> nn.Module:
        """Multiply the vectors into the weights, in place."""
        return merge_adapters(encoder)
