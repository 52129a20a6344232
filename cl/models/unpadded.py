"""Run rows of any lengths through an encoder at once, without padding.

All tokens of all rows are one row to the encoder, with the positions that they have in their own; only attention,
which mixes the tokens of a row, sees them again row by row. Where rows of one length are seen together, a row gets the
states, to the bit, that it gets alone; rows of similar lengths together are faster, and change the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast

import torch
from torch.nn import functional
from transformers import PreTrainedModel

from cl.models.kernels import CpuKernels
from cl.tasks import Encoded

SIMILAR = 8
"""Tokens by which rows may differ that are padded to one length in attention alone."""
_FIRST_POSITION: dict[str, Callable[[int], int]] = {
    "bert": lambda _: 0,
    "electra": lambda _: 0,
    "distilbert": lambda _: 0,
    "roberta": lambda padding: padding + 1,
    "xlm-roberta": lambda padding: padding + 1,
    "camembert": lambda padding: padding + 1,
}
"""The number of a row's first position, given the id of padding, for each architecture that can be run this way: all
that they compute is by token, but for attention, and attention knows of positions only by the embeddings."""


_ROWS: ContextVar[int | None] = ContextVar("rows", default=None)


@dataclass(frozen=True)
class Group:
    """Rows of one length: their indices, the length, and where their tokens begin among all."""

    rows: list[int]
    length: int
    start: int

    @property
    def tokens(self) -> slice:
        """Where the tokens of these rows are among those of all rows."""
        return slice(self.start, self.start + len(self.rows) * self.length)

    def of(self, states: torch.Tensor) -> torch.Tensor:
        """Return the states of these rows (rows, length, width) from those of all tokens (tokens, width)."""
        return states[self.tokens].view(len(self.rows), self.length, -1)


def runs_unpadded(encoder: PreTrainedModel) -> bool:
    """Return whether an encoder can be run this way.

    It can on a CPU, with SDPA, if it is of a known architecture, sees both sides, and has no virtual tokens.
    """
    config = encoder.config
    plain = type(encoder).__module__.startswith("transformers.models.") and encoder.device.type == "cpu"
    known = config.model_type in _FIRST_POSITION and not getattr(config, "is_decoder", False)
    return plain and known and config._attn_implementation == "sdpa"


def rows_in_pass(states: torch.Tensor) -> int:
    """Return how many rows are read in the pass that gives these states; to an encoder, unpadded ones are one row."""
    return _ROWS.get() or len(states)


def group_by_length(encoded: list[Encoded]) -> list[Group]:
    """Return the rows of each length, shortest first."""
    lengths = [len(row.input_ids) for row in encoded]
    groups, start = [], 0
    for length, rows in groupby(sorted(range(len(lengths)), key=lengths.__getitem__), key=lengths.__getitem__):
        groups.append(Group(list(rows), length, start))
        start += length * len(groups[-1].rows)
    return groups


def token_states(
    encoder: PreTrainedModel, encoded: list[Encoded], groups: list[Group], layers: int, *, exact: bool
) -> list[torch.Tensor]:
    """Return the states of all tokens (tokens, width) in the order of the groups, of the last layers, last layer last.

    Args:
        encoder: for which `runs_unpadded` holds; without gradients.
        encoded: the rows.
        groups: of these rows.
        layers: number of layers.
        exact: whether a row gets the states, to the bit, that it gets alone.
    """
    config = encoder.config
    first = _FIRST_POSITION[config.model_type](cast("int", config.pad_token_id))
    ids = [token for group in groups for row in group.rows for token in encoded[row].input_ids]
    positions = torch.cat([torch.arange(first, first + group.length).repeat(len(group.rows)) for group in groups])
    blocks = [_Block.of_group(group) for group in groups] if exact else _similar(groups)
    with torch.no_grad(), _AttentionByRow(blocks):
        rows = _ROWS.set(len(encoded))
        try:
            out = encoder(
                input_ids=torch.tensor([ids]), position_ids=positions.unsqueeze(0), output_hidden_states=layers > 1
            )
        finally:
            _ROWS.reset(rows)
    hidden = out.hidden_states[-layers:] if layers > 1 else [out.last_hidden_state]
    return [states[0] for states in hidden]


def pad_states(states: torch.Tensor, groups: list[Group]) -> torch.Tensor:
    """Return the states of all tokens as rows in the groups' order, padded with 0: (rows, longest length, width)."""
    count = sum(len(group.rows) for group in groups)
    padded = states.new_zeros(count, groups[-1].length, states.shape[-1])
    row = 0
    for group in groups:
        padded[row : row + len(group.rows), : group.length] = group.of(states)
        row += len(group.rows)
    return padded


def chunks(encoded: list[Encoded], tokens: int) -> Iterator[list[int]]:
    """Yield the indices of rows that have so many tokens together at most, or of one row, shortest rows first."""
    chunk: list[int] = []
    total = 0
    for row in sorted(range(len(encoded)), key=lambda row: len(encoded[row].input_ids)):
        length = len(encoded[row].input_ids)
        if chunk and total + length > tokens:
            yield chunk
            chunk, total = [], 0
        chunk.append(row)
        total += length
    if chunk:
        yield chunk


@dataclass(frozen=True)
class _Block:
    """Rows that attention computes together, padded to one length.

    ``tokens`` are those of the rows among all. Of rows of one length, the rest is None; else ``source`` is the token at
    each place of the padded rows, ``is_real`` the places with one of the row (rows, length), ``places`` their numbers.
    """

    rows: int
    length: int
    tokens: slice
    source: torch.Tensor | None = None
    is_real: torch.Tensor | None = None
    places: torch.Tensor | None = None

    @classmethod
    def of_group(cls, group: Group) -> _Block:
        return cls(len(group.rows), group.length, group.tokens)

    @classmethod
    def of_groups(cls, groups: list[Group]) -> _Block:
        if len(groups) == 1:
            return cls.of_group(groups[0])
        lengths = torch.tensor([group.length for group in groups for _ in group.rows])
        first = lengths.cumsum(0) - lengths + groups[0].start
        length = groups[-1].length
        is_real = torch.arange(length) < lengths.unsqueeze(1)
        source = (first.unsqueeze(1) + torch.arange(length)).where(is_real, first.unsqueeze(1)).flatten()
        tokens = slice(groups[0].start, groups[-1].tokens.stop)
        return cls(len(lengths), length, tokens, source, is_real, is_real.flatten().nonzero().flatten())

    def padded(self, states: torch.Tensor) -> torch.Tensor:
        """Return the rows (rows, heads, length, width) from all tokens (tokens, heads, width)."""
        own = states[self.tokens] if self.source is None else states.index_select(0, self.source)
        return own.reshape(self.rows, self.length, *states.shape[1:]).transpose(1, 2)

    def unpadded(self, attended: torch.Tensor) -> torch.Tensor:
        """Return the tokens (tokens, heads, width) of the rows (rows, heads, length, width)."""
        flat = attended.transpose(1, 2).flatten(0, 1)
        return flat if self.places is None else flat.index_select(0, self.places)

    @property
    def mask(self) -> torch.Tensor | None:
        """What attention may see: (rows, 1, 1, length)."""
        return None if self.is_real is None else self.is_real[:, None, None]


def _similar(groups: list[Group]) -> list[_Block]:
    """Return the blocks in which rows differ by less than `SIMILAR` tokens."""
    together = groupby(groups, key=lambda group: (group.length - 1) // SIMILAR)
    return [_Block.of_groups(list(similar)) for _, similar in together]


class _AttentionByRow(CpuKernels):
    """Within this context, attention over all tokens of all rows is computed for each row by itself."""

    def __init__(self, blocks: list[_Block]) -> None:
        super().__init__()
        self._blocks = blocks

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not functional.scaled_dot_product_attention:
            return super().__torch_function__(func, types, args, kwargs)
        query, key, value, *rest = args
        flat = [states[0].transpose(0, 1) for states in (query, key, value)]
        attended = []
        for block in self._blocks:
            own = [block.padded(states) for states in flat]
            options = {**(kwargs or {}), "attn_mask": block.mask}
            attended.append(block.unpadded(super().__torch_function__(func, types, (*own, *rest), options)))
        return torch.cat(attended).transpose(0, 1).unsqueeze(0)
