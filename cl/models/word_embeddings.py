"""The word embeddings of a forward pass: read them, let gradients reach them, shift them and pass them on again.

For a text that is read in windows, a row of the embeddings is one of its windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass
class WordEmbeddings:
    """What the word embedding layer reads (rows, length) and returns (rows, length, width) in a forward pass."""

    _ids: torch.Tensor | None = None
    _values: torch.Tensor | None = None

    @property
    def ids(self) -> torch.Tensor:
        """The tokens."""
        assert self._ids is not None, "no text has passed the encoder"
        return self._ids

    @property
    def values(self) -> torch.Tensor:
        """The embeddings, to which gradients can be taken."""
        assert self._values is not None, "no text has passed the encoder"
        return self._values

    def keep(self, ids: torch.Tensor, values: torch.Tensor) -> None:
        """Record a pass."""
        self._ids, self._values = ids, values


@contextmanager
def recorded_embeddings(encoder: nn.Module) -> Iterator[WordEmbeddings]:
    """Record the word embeddings in this block, and let gradients reach them, also where the layer is frozen."""
    words = WordEmbeddings()

    def keep(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        words.keep(inputs[0], output if output.requires_grad else output.detach().requires_grad_())
        return words.values

    handle = _layer(encoder).register_forward_hook(keep)
    try:
        yield words
    finally:
        handle.remove()


@contextmanager
def shifted_embeddings(encoder: nn.Module, shift: torch.Tensor) -> Iterator[None]:
    """Add a shift (rows, length, width) to the word embeddings in this block, in their number format."""
    handle = _layer(encoder).register_forward_hook(lambda module, inputs, output: output + shift.to(output.dtype))
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class Repeatable:
    """The word embeddings of a forward pass, and the pass again with shifted ones.

    ``run`` returns its logits; ``chance`` is the random state of the device before it.
    """

    encoder: nn.Module
    words: WordEmbeddings
    run: Callable[[], torch.Tensor]
    chance: torch.Tensor

    def again(self, shift: torch.Tensor, *, same_dropout: bool = False) -> torch.Tensor:
        """Return the logits with shifted word embeddings; ``same_dropout``: what the first pass dropped is dropped."""
        device = self.words.values.device
        with shifted_embeddings(self.encoder, shift), as_before(self.chance, device) if same_dropout else nullcontext():
            return self.run()


def random_state(device: torch.device) -> torch.Tensor:
    """Return the state of a device's random numbers."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


@contextmanager
def as_before(state: torch.Tensor, device: torch.device) -> Iterator[None]:
    """Draw the random numbers of an earlier state in this block; afterwards go on as if it had drawn none."""
    now = random_state(device)
    _set_state(state, device)
    try:
        yield
    finally:
        _set_state(now, device)


def _set_state(state: torch.Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)


def _layer(encoder: nn.Module) -> nn.Module:
    layer: nn.Module = encoder.get_input_embeddings()  # type: ignore[operator]
    return layer
