"""Train only the biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings import Tuning

if TYPE_CHECKING:
    from torch import nn


class BitFit(Tuning):
    """Fine-tunes only the bias vectors, about a thousandth of the parameters (Ben Zaken et al., 2022).

    >>> from cl.testing import tiny_encoder
    >>> sum(parameter.numel() for parameter in BitFit().moving(tiny_encoder()))
    152
    """

    learning_rate: float = Field(1e-3, gt=0, description="Peak rate of the biases")

    def rate(self, default: float) -> float:
        """Return the mode's own rate: so few parameters need larger steps."""
        return self.learning_rate

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return all bias parameters."""
        return [parameter for name, parameter in encoder.named_parameters() if name.endswith("bias")]
