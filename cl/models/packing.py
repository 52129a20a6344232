"""Train a causal language model on rows of any lengths without padding: all tokens of a batch are one row.

Each token keeps the position that it has in its own row, and attention, which alone mixes tokens, is computed for each
row by itself. Keys and values must not be cached: with a cache, transformers no longer tells the rows apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from cl.models.kernels import CpuKernels

PACKED = frozenset(
    {"cohere", "gemma", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama", "mistral", "olmo", "olmo2", "phi"}
    | {"phi3", "qwen2", "qwen3", "smollm3", "stablelm"}
)
"""The architectures in which a token depends on others by attention alone, and on its place by the position it is given
alone: for each, packed rows were compared with rows by themselves. OPT, for one, counts positions from the mask."""


def can_pack(model: PreTrainedModel, longest: int) -> bool:
    """Return whether rows of at most so many tokens can be packed for a model.

    They can if it is of a known architecture, computes attention by SDPA, and its attention, if it slides, reaches over
    a whole row.
    """
    config = model.config
    window = getattr(config, "sliding_window", None)
    plain = type(model).__module__.startswith("transformers.models.") and config._attn_implementation == "sdpa"
    return plain and config.model_type in PACKED and (window is None or longest <= window)


@dataclass(frozen=True)
class PackedRows:
    """The tokens of a batch end to end (1, tokens), the position of each in its row, and the rows' lengths."""

    input_ids: torch.Tensor
    positions: torch.Tensor
    lengths: list[int]

    @classmethod
    def of(cls, input_ids: torch.Tensor, mask: torch.Tensor) -> PackedRows:
        """Return the rows of a padded batch (rows, length) without their padding."""
        real = mask.bool()
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        return cls(input_ids[real].unsqueeze(0), places[real].unsqueeze(0), real.sum(1).tolist())

    def find(self, positions: torch.Tensor) -> torch.Tensor:
        """Return where positions in their rows (rows, positions) are among all tokens."""
        starts = torch.tensor([0, *self.lengths[:-1]], device=positions.device).cumsum(0)
        return positions + starts.unsqueeze(1)


class AttentionWithinRows(CpuKernels):
    """Within this context, causal attention over packed rows is computed for each row by itself.

    Rows of one length that lie next to each other are computed at once.
    """

    def __init__(self, lengths: list[int]) -> None:
        super().__init__()
        self._blocks = [(length, len(list(rows))) for length, rows in groupby(lengths)]
        self._tokens = [length * rows for length, rows in self._blocks]

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return super().__torch_function__(func, types, args, kwargs)
        query, key, value, *rest = args
        assert not rest, "transformers names the other arguments"
        options = {**(kwargs or {}), "attn_mask": None, "is_causal": True}
        parts = zip(*(states.split(self._tokens, dim=2) for states in (query, key, value)), strict=True)
        attended = []
        for own, (length, rows) in zip(parts, self._blocks, strict=True):
            # (1, heads, rows * length, width) to (rows, heads, length, width)
            apart = [part[0].unflatten(1, (rows, length)).transpose(0, 1) for part in own]
            result: torch.Tensor = super().__torch_function__(func, types, tuple(apart), options)
            attended.append(result.transpose(0, 1).flatten(1, 2).unsqueeze(0))
        return torch.cat(attended, dim=2)
