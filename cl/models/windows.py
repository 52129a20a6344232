"""Read a text that is longer than the encoder in overlapping windows, and stitch the states together.

Each token gets its state from the window in which it is farthest from an edge. What comes after sees a row as if the
encoder were long enough: a text's features are the mean over all of its tokens, each counted once, which for a linear
head is the mean of the windows' logits weighted by those tokens; a word's tag comes from one window. A row stays one
row, in training too: its label is that of the text, which no single window need show.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from cl.config import ModelSettings as ModelSettings
from cl.errors import ConfigError
from cl.tasks import filler

Frame = tuple[tuple[int, ...], tuple[int, ...]]
_FRAMES: WeakKeyDictionary[PreTrainedTokenizerBase, Frame] = WeakKeyDictionary()


@dataclass(frozen=True)
class WindowBatch:
    """The windows of a batch of rows, padded, and where each token of a row is read.

    ``input_ids`` and ``mask`` are (windows, length); ``window`` and ``position`` are (rows, row length).
    """

    input_ids: torch.Tensor
    mask: torch.Tensor
    window: torch.Tensor
    position: torch.Tensor

    def stitch(self, states: torch.Tensor) -> torch.Tensor:
        """Return the rows' states (rows, row length, width) from those of the windows."""
        return states[self.window, self.position]


@dataclass(frozen=True)
class Windows:
    """How long rows are cut into windows of ``size`` tokens, neighbours sharing ``overlap`` of a text's tokens.

    ``before`` and ``after`` are the tokens that the tokenizer puts around a text: each window has them. Rows may have
    more tokens in front that each window repeats, such as a question before its text.
    """

    size: int
    overlap: int
    at_most: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def room(self) -> int:
        """Return how many of a text's tokens a window holds."""
        return self.size - len(self.before) - len(self.after)

    @cached_property
    def longest(self) -> int:
        """Return the tokens of the longest row that is read whole."""
        return self.size + (self.at_most - 1) * (self.room - self.overlap)

    def starts(self, length: int, prefix: int = 0) -> list[int]:
        """Return where the windows of a row of this many tokens begin, among the text's tokens; the last is full."""
        last, room = length - self.size, min(self.room, self.size - prefix - len(self.after))
        return [0] if last <= 0 else [*range(0, last, max(1, room - self.overlap)), last]

    def split(
        self, input_ids: torch.Tensor, mask: torch.Tensor, *, pad_id: int, prefix: torch.Tensor | None = None
    ) -> WindowBatch:
        """Cut a batch (rows, length), padded on the right, into windows; a row that fits is a window of its own.

        Args:
            input_ids: tokens.
            mask: 1 for real tokens.
            pad_id: the token that windows are padded with.
            prefix: how many tokens of each row (rows,) are repeated in each of its windows; None: those of the
                tokenizer.
        """
        lengths = mask.sum(1).tolist()
        prefixes = [len(self.before)] * len(lengths) if prefix is None else prefix.tolist()
        pieces: list[torch.Tensor] = []
        window, position = (torch.zeros(input_ids.shape, dtype=torch.long) for _ in range(2))
        after = torch.tensor(self.after, dtype=torch.long)
        for row, (ids, length, first) in enumerate(zip(input_ids.cpu(), lengths, prefixes, strict=True)):
            starts, room = self.starts(length, first), self.size - first - len(self.after)
            numbers, positions = _best_windows(length, starts, self.size, first, len(self.after))
            window[row] = len(pieces)  # padding is read from anywhere, and masked
            window[row, :length] = len(pieces) + torch.from_numpy(numbers)
            position[row, :length] = torch.from_numpy(positions)
            text = ids[first : length - len(self.after)]
            pieces += (
                [torch.cat([ids[:first], text[start : start + room], after]) for start in starts]
                if len(starts) > 1
                else [ids[:length]]
            )
        padded, real = _pad(pieces, pad_id)
        device = input_ids.device
        return WindowBatch(padded.to(device), real.to(device), window.to(device), position.to(device))


def windows_of(settings: ModelSettings, tokenizer: PreTrainedTokenizerBase) -> Windows | None:
    """Return how a learner reads long rows; None if it cuts them at ``model.max_length``.

    Raises:
        ConfigError: the windows are too short for their overlap.
    """
    if settings.windows is None:
        return None
    before, after = _frame(tokenizer)
    windows = Windows(settings.max_length, settings.windows.overlap, settings.windows.at_most, before, after)
    if windows.overlap >= windows.room:
        raise ConfigError(
            f"model.windows.overlap {windows.overlap}: a window of model.max_length {windows.size} holds "
            f"{windows.room} tokens of a text: lower the overlap to less than that"
        )
    return windows


def _best_windows(length: int, starts: list[int], size: int, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each token of a row its window, and its position there: where it is farthest from an edge.

    What the tokenizer puts before a text is read in the first window, what it puts after it in the last.
    """
    tokens = np.arange(length)
    if len(starts) == 1:
        return np.zeros(length, dtype=np.int64), tokens
    room = size - before - after
    text = tokens[before : length - after] - before
    offset = text[None] - np.array(starts)[:, None]
    margin = np.minimum(offset, room - 1 - offset)
    margin[0] = np.where(offset[0] < room, room - 1 - offset[0], -1)  # a text's own ends are no edges
    margin[-1] = np.where(offset[-1] >= 0, offset[-1], -1)
    best = margin.argmax(0)
    window, position = np.zeros(length, dtype=np.int64), tokens.copy()
    window[before : length - after] = best
    position[before : length - after] = before + offset[best, np.arange(len(text))]
    window[length - after :] = len(starts) - 1
    position[length - after :] = np.arange(size - after, size)
    return window, position


def _pad(pieces: list[torch.Tensor], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return pieces as one tensor, padded on the right, and its mask."""
    ids = torch.nn.utils.rnn.pad_sequence(pieces, batch_first=True, padding_value=pad_id)
    lengths = torch.tensor([len(piece) for piece in pieces])
    return ids, (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()


def _frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """Return the tokens that a tokenizer puts before and after a text."""
    if tokenizer not in _FRAMES:
        text = filler(tokenizer)
        bare, framed = (tokenizer(text, add_special_tokens=special)["input_ids"] for special in (False, True))
        room = len(framed) - len(bare)
        start = next(start for start in range(room, -1, -1) if framed[start : start + len(bare)] == bare)
        _FRAMES[tokenizer] = tuple(framed[:start]), tuple(framed[start + len(bare) :])
    return _FRAMES[tokenizer]
