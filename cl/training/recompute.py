"""Gradient checkpointing: the states inside layers are computed again in the backward pass, and not kept until then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils.checkpoint import checkpoint

from cl.models.half_weights import HalfWeights
from cl.models.tunings import encoder_layers


@contextmanager
def recomputed_layers(encoder: nn.Module, halves: HalfWeights | None) -> Iterator[None]:
    """Let each layer of an encoder's stack keep its inputs alone (Chen et al., 2016, "Training deep nets with sublinear
    memory cost").

    Layers are computed again as they were the first time: with the random numbers of their dropout, the kernels and the
    weights in bfloat16 that were in use.
    """
    layers = list(encoder_layers(encoder))
    for layer in layers:
        layer.forward = _keep_inputs_alone(layer.forward, halves)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own is there again


def _keep_inputs_alone(forward: Callable[..., Any], halves: HalfWeights | None) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        again = partial(_as_before, _get_current_function_mode_stack(), halves)
        return checkpoint(
            partial(forward, **kwargs), *args, use_reentrant=False, context_fn=lambda: (nullcontext(), again())
        )

    return run


@contextmanager
def _as_before(modes: list[AbstractContextManager[Any]], halves: HalfWeights | None) -> Iterator[None]:
    with ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        if halves:
            stack.enter_context(halves.in_use(again=True))
        yield
