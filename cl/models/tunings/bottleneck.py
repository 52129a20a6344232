"""Bottleneck adapters: a small network after every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.models.tunings import Tuning, encoder_layers, find_parameters

if TYPE_CHECKING:
    import torch
    from torch import nn


class Bottleneck(Tuning):
    """Adapters (Houlsby et al., 2019), one after each layer, as Pfeiffer et al. (2021) found sufficient.

    >>> from cl.testing import tiny_encoder
    >>> tuning = Bottleneck(width=2)
    >>> sum(parameter.numel() for parameter in tuning.moving(tuning.attach(tiny_encoder())))
    84
    """

    adds_modules: ClassVar[bool] = True

    width: int = Field(48, ge=1, description="Width of the bottleneck")
    learning_rate: float = Field(1e-3, gt=0, description="Peak rate of the adapters")

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Attach an adapter to every layer; it adds nothing at first."""
        for layer in encoder_layers(encoder):
            layer.adapter = _new_adapter(encoder.config.hidden_size, self.width)  # type: ignore[union-attr, arg-type]
            layer.register_forward_hook(_add_adapter_output)
        return encoder

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return the adapters' parameters."""
        return find_parameters(encoder, ".adapter.")

    def merge(self, encoder: nn.Module) -> None:
        """Return None: the bottleneck is not linear."""
        return None


def _new_adapter(states: int, width: int) -> nn.Sequential:
    from torch import nn

    adapter = nn.Sequential(nn.Linear(states, width), nn.GELU(), nn.Linear(width, states))
    nn.init.zeros_(adapter[2].weight)  # type: ignore[arg-type]
    nn.init.zeros_(adapter[2].bias)  # type: ignore[arg-type]
    return adapter


def _add_adapter_output(layer: nn.Module, inputs: Any, output: Any) -> Any:
    """Add the adapter's output to the layer's states: its only output, or the first of several."""

    def add(states: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = states + layer.adapter(states)  # type: ignore[operator]
        return result

    return (add(output[0]), *output[1:]) if isinstance(output, tuple) else add(output)
