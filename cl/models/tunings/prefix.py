"""Prefix tuning: learned keys and values before those of the text, in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.models.tunings import Tuning, find_parameters

if TYPE_CHECKING:
    from torch import nn


class Prefix(Tuning):
    """Prefix tuning: keys and values that every layer attends to (Li and Liang, 2021), through the peft library.

    >>> Prefix(tokens=8).virtual_tokens
    8
    """

    adds_modules: ClassVar[bool] = True

    starts_neutral: ClassVar[bool] = False

    tokens: int = Field(16, ge=1, description="Virtual positions in each layer")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate of their keys and values")

    @property
    def virtual_tokens(self) -> int:
        """Return the number of virtual positions, the same in each layer."""
        return self.tokens

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Wrap the encoder."""
        from peft import PrefixTuningConfig, get_peft_model

        return get_peft_model(
            encoder,
            PrefixTuningConfig(num_virtual_tokens=self.tokens, task_type="FEATURE_EXTRACTION"),
        )

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return the keys and values."""
        return find_parameters(encoder, "prompt_encoder")

    def merge(self, encoder: nn.Module) -> None:
        """Return None: no encoder weights can replace positions without a token."""
        return None
