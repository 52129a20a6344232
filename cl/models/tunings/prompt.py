"""Prompt tuning: learned embeddings before the text."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from cl.models.tunings import Tuning, find_parameters

if TYPE_CHECKING:
    from torch import nn


class Prompt(Tuning):
    """Prompt tuning: virtual tokens whose embeddings are learned (Lester et al., 2021), through the peft library.

    >>> Prompt(tokens=8).virtual_tokens
    8
    """

    adds_modules: ClassVar[bool] = True

    starts_neutral: ClassVar[bool] = False

    tokens: int = Field(16, ge=1, description="Virtual tokens before each text")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate of their embeddings")

    @property
    def virtual_tokens(self) -> int:
        """Return the number of virtual tokens."""
        return self.tokens

    def rate(self, default: float) -> float:
        """Return the mode's own rate."""
        return self.learning_rate

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Wrap the encoder; its output then starts with a state for each virtual token."""
        from peft import PromptTuningConfig, get_peft_model

        return get_peft_model(
            encoder,
            PromptTuningConfig(num_virtual_tokens=self.tokens, task_type="FEATURE_EXTRACTION"),
        )

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return the virtual tokens' embeddings."""
        return find_parameters(encoder, "prompt_encoder")

    def merge(self, encoder: nn.Module) -> None:
        """Return None: no encoder weights can replace a longer input."""
        return None
