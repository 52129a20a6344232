"""What versions with LoRA add to a base that they share: small matrices, which each row of a batch has its own of.

peft can mix adapters in a batch too, but keeps them inside the model, which a server would have to change while it
answers. Here a version's matrices are its own, and the shared model never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


@dataclass(frozen=True)
class LayerUpdate:
    """``scale * B A`` of one layer: ``down`` is A (rank, width in), ``up`` is B (width out, rank)."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float

    def of(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what is added to the layer's output for inputs (..., width in)."""
        linear = nn.functional.linear
        return linear(linear(inputs.to(self.down.dtype), self.down), self.up) * self.scale


@dataclass(frozen=True, eq=False)
class LowRankUpdate:
    """The updates of a version's layers, by the names of the layers; several of one layer are added up."""

    layers: dict[str, list[LayerUpdate]]

    @property
    def device(self) -> torch.device:
        """Where its matrices are."""
        return next(part.down.device for parts in self.layers.values() for part in parts)


_Groups = list[tuple[LowRankUpdate, torch.Tensor | None]]
"""Which update the rows of a batch have, by the rows' indices; None: all of them."""
_CURRENT: ContextVar[_Groups] = ContextVar("low-rank updates of the rows of a batch")


@contextmanager
def row_updates(updates: Sequence[LowRankUpdate | None]) -> Iterator[None]:
    """Let each row of a batch have its own update, in passes of models that `share` has prepared, in this thread."""
    rows: dict[LowRankUpdate, list[int]] = {}
    for row, update in enumerate(updates):
        if update is not None:
            rows.setdefault(update, []).append(row)
    groups: _Groups = [
        (update, None if len(own) == len(updates) else torch.tensor(own, device=update.device))
        for update, own in rows.items()
    ]
    token = _CURRENT.set(groups)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def split_off(model: PreTrainedModel) -> LowRankUpdate | None:
    """Take LoRA's layers out of a model, which is then as it was pretrained; None: it has others, or none, and stays.

    Only what a model's tuning has added may have been trained.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer

    added = {name: layer for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
    if not added or not all(isinstance(layer, LoraLayer) and _is_plain(layer) for layer in added.values()):
        return None
    for name, layer in added.items():
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, layer.get_base_layer())
    vars(model).pop("peft_config", None)
    return LowRankUpdate({name: _updates_of(layer) for name, layer in added.items()})


def share(model: PreTrainedModel) -> PreTrainedModel:
    """Prepare a model without tuning for rows with updates of their own, and return it."""
    for name, layer in model.named_modules():
        hooks = layer._forward_hooks.values()
        if isinstance(layer, nn.Linear | Conv1D) and not any(isinstance(hook, _Adding) for hook in hooks):
            layer.register_forward_hook(_Adding(name))
    return model


@dataclass(frozen=True)
class _Adding:
    """Adds the updates of the rows of a batch to the output of a layer."""

    name: str

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        for update, rows in _CURRENT.get([]):
            for part in update.layers.get(self.name, ()):
                if rows is None:
                    output = (output + part.of(inputs[0])).to(output.dtype)
                else:
                    output = output.index_add(0, rows, part.of(inputs[0][rows]).to(output.dtype))
        return output


def _is_plain(layer: Any) -> bool:
    """Return whether a layer of peft's adds nothing but products of two matrices to a linear layer."""
    plain = isinstance(layer.get_base_layer(), nn.Linear | Conv1D) and not layer.merged
    variants = getattr(layer, "lora_variant", {})
    biased = any(up.bias is not None for up in layer.lora_B.values())
    return plain and not biased and not any(name in variants for name in layer.active_adapters)


def _updates_of(layer: Any) -> list[LayerUpdate]:
    return [
        LayerUpdate(layer.lora_A[name].weight.detach(), layer.lora_B[name].weight.detach(), layer.scaling[name])
        for name in layer.active_adapters
        if name in layer.lora_A
    ]
