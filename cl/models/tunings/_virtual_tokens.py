"""What prefix and prompt tuning share: learned positions before those of a text, through the peft library."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from cl.models.tunings._base import Tuning, find_parameters
from cl.plugins import Capability

if TYPE_CHECKING:
    from peft import PeftConfig
    from torch import nn


class VirtualTokens(Tuning):
    """Base of the modes that put learned positions before those of a text; a mode declares how many, and the rate."""

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.ENCODER})

    adds_modules: ClassVar[bool] = True

    starts_neutral: ClassVar[bool] = False

    tokens: int

    learning_rate: float

    @property
    def virtual_tokens(self) -> int:
        """Return the number of virtual positions."""
        return self.tokens

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    @abstractmethod
    def peft_config(self) -> PeftConfig:
        """Return peft's configuration of the mode."""

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Wrap the encoder."""
        from peft import get_peft_model

        return get_peft_model(encoder, self.peft_config())

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return what is learned for the positions."""
        return find_parameters(encoder, "prompt_encoder")

    def merge(self, encoder: nn.Module) -> None:
        """Return None: no encoder weights can replace positions without a token."""
        return None
