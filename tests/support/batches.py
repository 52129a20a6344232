"""Batches made by hand."""

from __future__ import annotations

import torch

from cl.tasks import Batch


def batch_of(ids: torch.Tensor, mask: torch.Tensor | None = None) -> Batch:
    """Return token ids (rows, length) as a batch, by default without padding and with no targets."""
    mask = torch.ones_like(ids) if mask is None else mask
    return Batch(ids, mask, torch.full(ids.shape, -100), list(range(len(ids))))
