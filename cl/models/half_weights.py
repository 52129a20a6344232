"""bfloat16 copies of an encoder's weights for a training step, made all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


class HalfWeights:
    """An encoder's weights in bfloat16, for forward passes; its own stay float32, and get the gradients.

    Autocast converts a weight and its gradient in each layer call, frozen weights too, and keeps the states between
    layers in float32, which it converts again for every layer that reads them. Here frozen weights are converted once,
    the others once a step, and all states are bfloat16.
    """

    def __init__(self, encoder: nn.Module) -> None:
        places: dict[nn.Parameter, list[tuple[nn.Module, str]]] = {}
        for module in encoder.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None and parameter.dtype == torch.float32:
                    places.setdefault(parameter, []).append((module, name))
        self._frozen = [
            (own, parameter, parameter.detach().to(torch.bfloat16))
            for parameter, own in places.items()
            if not parameter.requires_grad
        ]
        self._moving = [(own, parameter) for parameter, own in places.items() if parameter.requires_grad]
        self._copies = [torch.empty_like(parameter, dtype=torch.bfloat16) for _, parameter in self._moving]
        self._current: tuple[torch.Tensor, ...] = ()

    @contextmanager
    def in_use(self, *, again: bool = False) -> Iterator[None]:
        """Let the encoder compute with the copies, made now of the present weights.

        ``again``: with those that were made last, for another pass before the backward pass of the first.
        """
        weights = [parameter for _, parameter in self._moving]
        if weights and not again:
            self._current = _Halve.apply(self._copies, *weights)  # type: ignore[no-untyped-call]
        halves = [(own, parameter, half) for own, parameter, half in self._frozen]
        halves += [(own, parameter, half) for (own, parameter), half in zip(self._moving, self._current, strict=True)]
        try:
            for own, _, half in halves:
                for module, name in own:
                    module._parameters[name] = half  # type: ignore[assignment]
            yield
        finally:
            for own, parameter, _ in halves:
                for module, name in own:
                    module._parameters[name] = parameter


class _Halve(torch.autograd.Function):
    """Copy float32 weights into bfloat16 tensors; their gradients come back in float32."""

    @staticmethod
    def forward(ctx: Any, copies: Sequence[torch.Tensor], *weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        torch._foreach_copy_(list(copies), list(weights))
        return tuple(copy.detach() for copy in copies)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        given = [gradient for gradient in gradients if gradient is not None]
        exact = [torch.empty(gradient.shape, dtype=torch.float32, device=gradient.device) for gradient in given]
        torch._foreach_copy_(exact, given)
        rest = iter(exact)
        return None, *(None if gradient is None else next(rest) for gradient in gradients)
