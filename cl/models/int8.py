"""int8 quantisation: per-row weight scales, per-token activation scales, integer matmul.

Weights take a quarter of the bytes, and processors have instructions for int8 products. No scale depends on the other
texts in a batch, and integer sums are the same on every run. (torch.ao's dynamic quantisation, now deprecated, used one
scale for a whole batch.) Between the products, states are floats, whose last digit may depend on the batch's shape and
occasionally tip a rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from cl.models.number_formats import cast_parameters

if TYPE_CHECKING:
    from transformers import PreTrainedModel


INT8_MAX = 127
MIN_SCALE = 1e-8
"""The smallest scale: keeps a row of zeros from dividing by zero."""


class Int8Linear(nn.Module):
    """``x W^T + b`` with W in int8 and x rounded to int8 on the fly; in floats on a GPU.

    ``transposed``: the layer that it replaces holds the transpose of W, as GPT-2's do.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, inputs: int, outputs: int, *, bias: bool, transposed: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features, self.transposed = inputs, outputs, transposed
        self.register_buffer("weight", torch.zeros(outputs, inputs, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(outputs))
        self.register_buffer("bias", torch.zeros(outputs) if bias else None)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map (..., inputs) to (..., outputs); in floats if gradients are enabled."""
        exact = states.float()
        if torch.is_grad_enabled() or states.is_cuda:
            return nn.functional.linear(exact, dequantise_rows(self.weight, self.scale), self.bias).to(states.dtype)
        rows = exact.reshape(-1, self.in_features)
        scale = rows.abs().amax(1, keepdim=True).clamp_(min=MIN_SCALE).mul_(1 / INT8_MAX)
        product = torch._int_mm((rows / scale).round_().to(torch.int8), self.weight.t())
        out = product.float().mul_(scale).mul_(self.scale)
        out = out if self.bias is None else out.add_(self.bias)
        return out.view(*states.shape[:-1], self.out_features).to(states.dtype)


class Int8Embedding(nn.Module):
    """A table of embeddings in int8, returned as floats."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, rows: int, width: int, padding: int | None = None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.padding_idx = rows, width, padding
        self.register_buffer("weight", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scale", torch.ones(rows))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (..., width)."""
        return self.weight[ids].float() * self.scale[ids].unsqueeze(-1)


def quantise(encoder: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of an encoder with its matrices and word embeddings in int8, all else in float32."""
    quantised = with_int8_modules(copy.deepcopy(encoder))
    cast_parameters(quantised, torch.float32)
    floats = dict(encoder.named_modules())
    with torch.no_grad():
        for name, module in quantised.named_modules():
            if isinstance(module, Int8Linear | Int8Embedding):
                exact = cast(torch.Tensor, floats[name].weight.detach()).float()
                whole, scale = round_rows(exact.T if getattr(module, "transposed", False) else exact)
                module.weight.copy_(whole)
                module.scale.copy_(scale)
                if isinstance(module, Int8Linear) and module.bias is not None:
                    module.bias.copy_(cast(torch.Tensor, floats[name].bias))
    return quantised


def dequantise(encoder: PreTrainedModel, *, as_linear: bool = False) -> PreTrainedModel:
    """Return a trainable copy of an encoder, its int8 matrices converted back to floats.

    Args:
        encoder: with int8 modules.
        as_linear: put a linear layer also where the encoder had one that holds the transposed matrix.
    """
    restored = copy.deepcopy(encoder)
    for name, module in list(restored.named_modules()):
        if isinstance(module, Int8Linear):
            linear: nn.Module = nn.Linear(module.in_features, module.out_features, bias=module.bias is not None)
            state = {"weight": dequantise_rows(module.weight, module.scale)}
            if module.transposed and not as_linear:
                linear, state = Conv1D(module.out_features, module.in_features), {"weight": state["weight"].T}
            linear.load_state_dict(state if module.bias is None else {**state, "bias": module.bias})
            restored.set_submodule(name, linear.to(module.weight.device))
        elif isinstance(module, Int8Embedding):
            table = nn.Embedding.from_pretrained(dequantise_rows(module.weight, module.scale), freeze=False)
            table.padding_idx = module.padding_idx
            restored.set_input_embeddings(table)
    return restored


def with_int8_modules(encoder: PreTrainedModel, *, stored: Collection[str] | None = None) -> PreTrainedModel:
    """Replace an encoder's linear layers and word embeddings by empty int8 modules, in place.

    Args:
        encoder: in floats.
        stored: names of the tensors that it will take; None: all that it can. Older versions of a GPT-2 hold the
            matrices of its layers in floats.
    """
    words = encoder.get_input_embeddings()
    for name, module in list(encoder.named_modules()):
        if isinstance(module, nn.Linear):
            bias = module.bias is not None
            encoder.set_submodule(name, Int8Linear(module.in_features, module.out_features, bias=bias))
        elif isinstance(module, Conv1D) and (stored is None or f"{name}.scale" in stored):
            encoder.set_submodule(name, Int8Linear(module.nx, module.nf, bias=True, transposed=True))
        elif module is words and type(module) is nn.Embedding:  # a subclass, as Gemma 3 has, may scale what it returns
            table = Int8Embedding(module.num_embeddings, module.embedding_dim, module.padding_idx)
            encoder.set_input_embeddings(table)  # wherever the encoder holds them: T5 does twice
    return encoder


def is_int8(encoder: nn.Module) -> bool:
    """Return whether any of an encoder's weights are in int8."""
    return any(isinstance(module, Int8Linear | Int8Embedding) for module in encoder.modules())


def round_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a matrix in int8, -127 to 127, and the scale of each row."""
    scale = weight.abs().amax(1).clamp(min=MIN_SCALE) / INT8_MAX
    return (weight / scale.unsqueeze(1)).round().to(torch.int8), scale


def dequantise_rows(whole: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return the float matrix for int8 values and the scale of each row."""
    return whole.float() * scale.unsqueeze(1)
