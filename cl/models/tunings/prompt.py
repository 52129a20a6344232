"""Prompt tuning: learned embeddings before the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings._virtual_tokens import VirtualTokens

if TYPE_CHECKING:
    from peft import PeftConfig


class Prompt(VirtualTokens):
    """Prompt tuning: virtual tokens whose embeddings are learned (Lester et al., 2021), through the peft library.

    >>> Prompt(tokens=8).virtual_tokens
    8
    """

    tokens: int = Field(16, ge=1, description="Virtual tokens before each text")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate of their embeddings")

    def peft_config(self) -> PeftConfig:
        """Return peft's configuration of embeddings before the text; the output starts with their states."""
        from peft import PromptTuningConfig

        return PromptTuningConfig(num_virtual_tokens=self.tokens, task_type="FEATURE_EXTRACTION")
