"""Exact products of int8 matrices, several times as fast as products of float32."""

from __future__ import annotations

import functools

import torch


@functools.cache
def multiplies_integers_exactly() -> bool:
    """Return whether this processor's product of int8 matrices is exact, six times as fast as one of float32.

    On some without instructions for it, the library adds pairs of products in 16 bits, which saturate.
    """
    extremes = torch.tensor([127, -127], dtype=torch.int8)
    rows = extremes[torch.randint(0, 2, (256, 64), generator=torch.Generator().manual_seed(0))]
    rows[:128] = 127
    left = rows.T.contiguous()
    try:
        product = torch._int_mm(left, rows)
    except RuntimeError:
        return False
    return torch.equal(product.float(), left.float() @ rows.float())


def product_of_integers(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the product of two matrices of integers up to 127: in int32 where that is exact, else in float32.

    In float32 it is exact while the sums stay below 2^24.
    """
    if left.device.type == "cpu" and multiplies_integers_exactly():
        return torch._int_mm(left.to(torch.int8).contiguous(), right.to(torch.int8).contiguous())
    return left.float() @ right.float()
