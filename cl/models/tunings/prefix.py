"""Prefix tuning: learned keys and values before those of the text, in every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cl.models.tunings._virtual_tokens import VirtualTokens

if TYPE_CHECKING:
    from peft import PeftConfig


class Prefix(VirtualTokens):
    """Prefix tuning: keys and values that every layer attends to (Li and Liang, 2021), through the peft library.

    >>> Prefix(tokens=8).virtual_tokens
    8
    """

    tokens: int = Field(16, ge=1, description="Virtual positions in each layer")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate of their keys and values")

    def peft_config(self) -> PeftConfig:
        """Return peft's configuration of keys and values in each layer."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(num_virtual_tokens=self.tokens, task_type="FEATURE_EXTRACTION")
