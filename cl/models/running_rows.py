"""Write answers step by step: rows join and leave between two steps, and one pass of the model writes a token of each.

transformers batches continuously too (`generate_batch`), but with one adapter, one seed and no grammar for all rows,
and for causal models alone. Here each row has its own, as requests of several versions do.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicIndexedLayer, DynamicLayer

from cl.models.learner import Learner
from cl.models.low_rank import LowRankUpdate, row_updates

SPARE = 64
"""Positions by which the memory of keys and values grows, so that most steps copy none of it."""


class RunningRows(ABC):
    """Rows that one model writes together, in the order in which they have joined.

    Args:
        learner: with the model.
    """

    takes_more = True
    """Whether rows can join those that have begun."""
    first_token: int | None = None
    """The token that every answer begins with, whatever the logits are."""

    def __init__(self, learner: Learner) -> None:
        self._learner, self.model = learner, learner.encoder
        self._updates: list[LowRankUpdate | None] = []

    def __len__(self) -> int:
        return len(self._updates)

    @torch.inference_mode()
    def join(self, prompts: Sequence[list[int]], updates: Sequence[LowRankUpdate | None]) -> torch.Tensor:
        """Read the prompts of rows that join, and return the logits of their first tokens (new rows, vocabulary).

        Where it raises, the rows that run stay as they are.

        Args:
            prompts: their tokens.
            updates: what each row's version adds to the model; None: nothing.
        """
        with self._learner.in_own_format(), row_updates(updates):
            logits = self._read(prompts)
        self._updates += updates
        return logits.float()

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Take the last token of each row, and return the logits of the next (rows, vocabulary)."""
        column = torch.tensor(tokens, device=self._learner.device).unsqueeze(1)
        with self._learner.in_own_format(), row_updates(self._updates):
            return self._write(column).float()

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Drop all rows but these, given by their indices in ascending order."""
        if len(rows) < len(self):
            self._updates = [self._updates[row] for row in rows]
            if rows:
                self._keep(torch.tensor(list(rows), device=self._learner.device))

    @abstractmethod
    def _read(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        """Read prompts and return the logits (new rows, vocabulary)."""

    @abstractmethod
    def _write(self, column: torch.Tensor) -> torch.Tensor:
        """Read a token of each row (rows, 1) and return the logits (rows, vocabulary)."""

    @abstractmethod
    def _keep(self, rows: torch.Tensor) -> None:
        """Drop what is kept of all other rows."""

    def _pad(self, prompts: Sequence[list[int]], *, before: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return prompts (rows, length) with padding before or after them, and the mask of their tokens."""
        length = max(map(len, prompts))
        ids = torch.full((len(prompts), length), self._learner.tokenizer.pad_token_id, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            inside = slice(length - len(prompt), length) if before else slice(0, len(prompt))
            ids[row, inside], mask[row, inside] = torch.tensor(prompt), 1
        return ids.to(self._learner.device), mask.to(self._learner.device)


def running_rows(learner: Learner) -> RunningRows:
    """Return the way in which a learner's model writes rows together; none has begun."""
    if learner.has_decoder:
        return DecodedRows(learner)
    return CausalRows(learner) if _has_keys_and_values(learner.encoder) else RereadRows(learner)


def _has_keys_and_values(model: PreTrainedModel) -> bool:
    """Return whether all that a model keeps of what it has read are keys and values of each token."""
    layers = DynamicCache(config=model.config).layers
    plain = all(isinstance(layer, DynamicLayer) and not isinstance(layer, DynamicIndexedLayer) for layer in layers)
    return plain and not getattr(model, "_is_stateful", False) and "past_key_values" in _accepted(model)


def _accepted(model: PreTrainedModel) -> set[str]:
    return set(inspect.signature(model.forward).parameters)


class CausalRows(RunningRows):
    """Rows of a causal model. All end at one position of the cache: shorter ones are padded before their start."""

    def __init__(self, learner: Learner) -> None:
        super().__init__(learner)
        self._cache: DynamicCache | None = None
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=learner.device)
        self._accepted = _accepted(self.model)

    def _read(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        ids, mask = self._pad(prompts, before=True)
        cache = _growing_cache()
        logits = self._run(ids, mask, (mask.cumsum(1) - 1).clamp(min=0), cache)
        if self._cache is None or not len(self):
            self._cache, self._mask = cache, mask
            return logits
        length = max(self._mask.shape[1], mask.shape[1])
        for own, new in zip(_layers(self._cache), _layers(cache), strict=True):
            own.take_rows(new, length)
        self._mask = torch.cat([_padded_before(self._mask, length), _padded_before(mask, length)])
        return logits

    def _write(self, column: torch.Tensor) -> torch.Tensor:
        positions = self._mask.sum(1, keepdim=True)
        self._mask = torch.cat([self._mask, torch.ones_like(column)], dim=1)
        return self._run(column, self._mask, positions, self._cache)

    def _keep(self, rows: torch.Tensor) -> None:
        assert self._cache is not None
        mask = self._mask[rows]
        start = mask.shape[1] - int(mask.sum(1).max())  # where the longest row begins
        for layer in _layers(self._cache):
            layer.keep_rows(rows, start)
        self._mask = mask[:, start:]

    def _run(self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> torch.Tensor:
        extra: dict[str, Any] = {"position_ids": positions, "logits_to_keep": 1}
        extra = {name: value for name, value in extra.items() if name in self._accepted}
        out = self.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True, **extra)
        logits: torch.Tensor = out.logits[:, -1]
        return logits


class DecodedRows(RunningRows):
    """Rows of a model with a decoder of its own; all have begun together, so that no answer is padded."""

    takes_more = False

    def _read(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        ids, self._mask = self._pad(prompts, before=False)
        encoder: Any = self.model.get_encoder()
        self._states = encoder(input_ids=ids, attention_mask=self._mask, return_dict=True)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        suggested: Any = self.model.generation_config
        names = ("decoder_start_token_id", "bos_token_id")
        start = next(id for name in names if (id := getattr(suggested, name, None)) is not None)
        self.first_token = getattr(suggested, "forced_bos_token_id", None)
        return self._write(torch.full((len(prompts), 1), start, device=ids.device))

    def _write(self, column: torch.Tensor) -> torch.Tensor:
        out = self.model(
            encoder_outputs=self._states,
            attention_mask=self._mask,
            decoder_input_ids=column,
            past_key_values=self._cache,
            use_cache=True,
        )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    def _keep(self, rows: torch.Tensor) -> None:
        self._mask = self._mask[rows]
        self._states.last_hidden_state = self._states.last_hidden_state[rows]
        self._cache.batch_select_indices(rows)


class RereadRows(RunningRows):
    """Rows of a causal model that keeps something else than keys and values: each step reads all tokens again."""

    def __init__(self, learner: Learner) -> None:
        super().__init__(learner)
        self._tokens: list[list[int]] = []

    def _read(self, prompts: Sequence[list[int]]) -> torch.Tensor:
        logits = self._run(prompts)
        self._tokens += [list(prompt) for prompt in prompts]
        return logits

    def _write(self, column: torch.Tensor) -> torch.Tensor:
        for own, token in zip(self._tokens, column[:, 0].tolist(), strict=True):
            own.append(token)
        return self._run(self._tokens)

    def _keep(self, rows: torch.Tensor) -> None:
        self._tokens = [self._tokens[row] for row in rows.tolist()]

    def _run(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        ids, mask = self._pad(tokens, before=True)
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, -1]
        return logits


class _GrowingLayer(DynamicLayer):
    """Keys and values (rows, heads, length, width) of one layer, in memory that grows by `SPARE` positions."""

    _memory: tuple[torch.Tensor, ...] = ()

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Append the keys and values of new positions, and return all of them."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._use(key_states, value_states)
            return self.keys, self.values
        before, new = self.get_seq_length(), key_states.shape[-2]
        if before + new > self._memory[0].shape[-2]:
            self._memory = tuple(_with_spare(states, new) for states in self._states)
        for memory, states in zip(self._memory, (key_states, value_states), strict=True):
            memory[..., before : before + new, :] = states
        self.keys, self.values = (memory[..., : before + new, :] for memory in self._memory)
        return self.keys, self.values

    def take_rows(self, new: _GrowingLayer, length: int) -> None:
        """Append the rows of another layer, both padded before their start to a length."""
        if new.is_initialized:  # some layers read the keys and values of an earlier one
            self._use(*(_appended(a, b, length) for a, b in zip(self._states, new._states, strict=True)))

    def keep_rows(self, rows: torch.Tensor, start: int) -> None:
        """Drop other rows, and all positions before the first."""
        if self.is_initialized:
            self._use(*(states[:, :, start:][rows] for states in self._states))

    @property
    def _states(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def _use(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self._memory = (keys, values)
        self.keys, self.values = keys, values


def _growing_cache() -> DynamicCache:
    cache = DynamicCache()
    cache.layer_class_to_replicate = _GrowingLayer
    return cache


def _layers(cache: DynamicCache) -> list[_GrowingLayer]:
    return [layer for layer in cache.layers if isinstance(layer, _GrowingLayer)]


def _with_spare(states: torch.Tensor, new: int) -> torch.Tensor:
    rows, heads, length, width = states.shape
    memory = states.new_empty(rows, heads, length + new + SPARE, width)
    memory[..., :length, :] = states
    return memory


def _appended(own: torch.Tensor, new: torch.Tensor, length: int) -> torch.Tensor:
    """Return two layers' states as one, aligned at their ends."""
    rows, heads, _, width = own.shape
    joined = own.new_zeros(rows + len(new), heads, length, width)
    joined[:rows, :, length - own.shape[2] :] = own
    joined[rows:, :, length - new.shape[2] :] = new
    return joined


def _padded_before(mask: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask, (length - mask.shape[1], 0))
