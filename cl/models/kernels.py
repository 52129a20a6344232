"""CPU kernels for short rows: they replace PyTorch's where these were measured to be slower (bench/training_speed.py).

Two calls are replaced, wherever a model makes them. Attention over short rows is two products of matrices and a softmax
between them: PyTorch's own kernels are written for long rows, and take 2 to 4 times as long on rows of 8 to 128 tokens.
A linear layer in float32 without gradients goes to oneDNN instead of MKL, which was twice as fast on an AMD processor.
Both compute the same sums: results differ in the last digits of their format.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SHORT = 128
"""Row length in tokens up to which attention keeps its probabilities for the backward pass: they need length² numbers
per head."""
_LANES = 16
"""Numbers in a vector register: `torch.softmax` uses vectors from rows of this length, in bfloat16 of twice that."""


_ONEDNN = torch.backends.mkldnn.is_available() and platform.machine().lower() in ("x86_64", "amd64")


def fast_kernels(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which models on this device compute fastest, gradients too."""
    return CpuKernels() if device.type == "cpu" else contextlib.nullcontext()


class CpuKernels(TorchFunctionMode):
    """Within this context, models on a CPU use the kernels of this module wherever they are faster.

    >>> layer, states = torch.nn.Linear(8, 4), torch.ones(2, 8)
    >>> with torch.inference_mode(), CpuKernels():
    ...     fast = layer(states)
    >>> torch.allclose(fast, layer(states))
    True
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is functional.scaled_dot_product_attention:
            return _attend(*args, **(kwargs or {}))
        if func is functional.linear:
            return _linear(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _linear(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    exact = input.dtype == weight.dtype == torch.float32 and input.device.type == "cpu" and input.numel()
    plain = type(input) is torch.Tensor and type(weight) in (torch.Tensor, nn.Parameter) and weight.ndim == 2
    if not (_ONEDNN and exact and plain) or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return functional.linear(input, weight, bias)
    result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
    return result


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Return attention as `scaled_dot_product_attention` does, whose arguments it takes."""
    mask, twice = attn_mask, is_causal and attn_mask is not None  # both at once are refused below
    if is_causal and mask is None:
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    plain = not dropout_p and not enable_gqa and query.ndim == 4 and query.shape[:2] == key.shape[:2] == value.shape[:2]
    if not plain or twice or not _is_short(query, key) or (mask is not None and mask.requires_grad):
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if torch.is_autocast_enabled("cpu"):
        kind = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(kind), key.to(kind), value.to(kind)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    with torch.autocast("cpu", enabled=False):
        result: torch.Tensor = _ShortAttention.apply(query, key, value, mask, factor)  # type: ignore[no-untyped-call]
    return result


def _is_short(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Return whether rows are of a length at which the kernel here is faster: for float32, below a vector's lanes."""
    length = max(query.shape[-2], key.shape[-2])
    half = query.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
    return query.device.type == "cpu" and length <= (SHORT if half else _LANES - 1)


class _ShortAttention(torch.autograd.Function):
    """Softmax of query times key times a factor, times value: all (rows, heads, length, width)."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, factor: float
    ) -> torch.Tensor:
        rows, heads, length, _ = query.shape
        query, key, value = (each.flatten(0, 1) for each in (query, key, value))
        scores = torch.bmm(query, key.transpose(1, 2)).mul_(factor)
        if mask is not None:
            spread = scores.view(rows, heads, length, -1)
            if mask.dtype == torch.bool:  # the lowest number: minus infinity would make a row of padding alone NaN
                spread.masked_fill_(~mask, torch.finfo(scores.dtype).min)
            else:
                spread.add_(mask)
        shares = _softmax(scores)
        ctx.save_for_backward(query, key, value, shares)
        ctx.factor = factor
        return torch.bmm(shares, value).view(rows, heads, length, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, shares = ctx.saved_tensors
        (gradient,) = gradients
        shape = gradient.shape[:2]
        gradient = gradient.flatten(0, 1).to(value.dtype)
        of_value = torch.bmm(shares.transpose(1, 2), gradient)
        of_shares = torch.bmm(gradient, value.transpose(1, 2))
        of_scores = _softmax_gradient(of_shares, shares).mul_(ctx.factor)
        of_query, of_key = torch.bmm(of_scores, key), torch.bmm(of_scores.transpose(1, 2), query)
        return *(each.unflatten(0, shape) for each in (of_query, of_key, of_value)), None, None


def _softmax(scores: torch.Tensor) -> torch.Tensor:
    """Return the softmax over the last dimension, computed in float32."""
    shares = scores.float()
    if scores.shape[-1] >= _LANES:
        return shares.softmax(-1).to(scores.dtype)
    shares = (shares - shares.amax(-1, keepdim=True)).exp_()
    return shares.div_(shares.sum(-1, keepdim=True)).to(scores.dtype)


def _softmax_gradient(of_shares: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the scores for that of their softmax, computed in float32."""
    length = shares.shape[-1]
    if length >= 2 * _LANES:
        return torch._softmax_backward_data(of_shares, shares, -1, shares.dtype)
    given, exact = of_shares.float(), shares.float()
    if length >= _LANES:
        return torch._softmax_backward_data(given, exact, -1, exact.dtype).to(shares.dtype)
    product = given * exact
    return product.addcmul_(exact, product.sum(-1, keepdim=True), value=-1).to(shares.dtype)
