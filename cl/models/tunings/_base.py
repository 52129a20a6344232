"""Tuning modes: which part of the encoder an update trains (all, some layers, or added parameters). One file a mode.

The head is always trained. A mode that adds parameters starts as a no-op: until the first step the encoder's states
are unchanged (except with prompts and prefixes, which every token attends to).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cl.plugins import Plugin

if TYPE_CHECKING:
    from torch import nn


class Tuning(Plugin):
    """Base of all modes: what is added to a pretrained encoder, what is trained, and at which rate.

    ``adds_modules``: it adds parameters of its own to the encoder. ``trains_encoder``: something in the encoder is
    trained. ``starts_neutral``: the added parameters leave all states unchanged until they are trained.
    """

    adds_modules: ClassVar[bool] = False

    trains_encoder: ClassVar[bool] = True

    starts_neutral: ClassVar[bool] = True

    @property
    def virtual_tokens(self) -> int:
        """Return how many positions the mode puts before those of a text."""
        return 0

    def rate(self, default: float) -> float:
        """Return the peak learning rate in the encoder; the default is the configuration's."""
        return default

    def attach(self, encoder: nn.Module) -> nn.Module:
        """Return the encoder with the mode's parameters added."""
        return encoder

    def moving(self, encoder: nn.Module) -> list[nn.Parameter]:
        """Return the encoder parameters that are trained."""
        raise NotImplementedError

    def merge(self, encoder: nn.Module) -> nn.Module | None:
        """Return an encoder of the original shape that gives the same states, or None if there is none."""
        return encoder


def encoder_layers(encoder: nn.Module) -> nn.ModuleList:
    """Return the encoder's stack of transformer layers: the list with as many as it has, else its longest list.

    Where layers share their weights (ALBERT), the list is shorter than the encoder is deep.
    """
    from torch import nn

    depth = getattr(getattr(encoder, "config", None), "num_hidden_layers", None)
    stacks = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    whole = [stack for stack in stacks if len(stack) == depth]
    return whole[0] if whole else max(stacks, key=len, default=nn.ModuleList())


def find_parameters(encoder: nn.Module, *parts: str) -> list[nn.Parameter]:
    """Return the parameters whose name contains one of the parts."""
    return [parameter for name, parameter in encoder.named_parameters() if any(part in name for part in parts)]
