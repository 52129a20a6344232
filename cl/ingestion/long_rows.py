"""Count the rows of a batch that are longer than the model reads, if its tokenizer is on this machine."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cl.config import Config
from cl.models.locate import local_file
from cl.tasks import Task, ValueKind

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
MOST_ROWS = 20_000
"""Rows of a batch that are tokenised, at most; only rows with many letters are."""


@dataclass
class LongRows:
    """The rows of a batch that would be cut; what cannot be known here, `cl run` says after training."""

    task: Task
    tokenizer: Any
    most_tokens: int
    rows: int = 0
    looked_at: int = 0
    cut: int = 0
    complete: bool = field(default=True)

    def add(self, rows: pd.DataFrame) -> None:
        """Count the rows of a chunk."""
        self.rows += len(rows)
        long = rows[[_most_tokens(text) > self.most_tokens for text in self.task.texts(rows)]]
        wanted = long.head(MOST_ROWS - self.looked_at)
        self.complete = self.complete and len(wanted) == len(long)
        self.looked_at += len(wanted)
        if wanted.empty:
            return
        column = self.task.schema.input
        words = column is not None and column.kind is ValueKind.WORDS
        values = self.task.texts(wanted) if column is None or not column.kind.is_read else wanted[column.name]
        inputs = [list(value) if words else value for value in values]
        encoded = self.tokenizer.encode_batch_fast(inputs, is_pretokenized=words)
        self.cut += sum(len(row.ids) > self.most_tokens for row in encoded)

    def notices(self) -> list[str]:
        """Return what to tell about the batch."""
        if not self.cut:
            return []
        number = f"{self.cut:,}" if self.complete else f"at least {self.cut:,}"
        return [
            f"{number} of {self.rows:,} rows are longer than the {self.most_tokens:,} tokens that the model reads, and "
            "are cut there: raise model.max_length, or set model.windows"
        ]


def long_rows(config: Config, task: Task) -> LongRows | None:
    """Return a counter for one batch; None if the tokenizer is not on this machine or cannot be read by itself.

    The bound is ``model.max_length``, or what the model's files declare if that is less.
    """
    path = local_file(config.model.name, "tokenizer.json")
    if path is None or task.measures_texts:  # texts that are learned as a whole are read in blocks
        return None
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        around = tokenizer.num_special_tokens_to_add(False)
        size = min([config.model.max_length, *_declared(config.model.name)])
    except Exception as error:  # the library's exceptions have no common base; the model's own loading tells more
        log.debug("%s: %s", path, error)
        return None
    windows = config.model.windows
    most = size + (windows.at_most - 1) * max(0, size - around - windows.overlap) if windows else size
    return LongRows(task, tokenizer, most)


def _most_tokens(text: str) -> int:
    """Return a bound on the tokens of a text: one for each byte, and those around it.

    A tokenizer may decompose letters beyond ASCII into several, and put spaces between them.
    """
    return 8 + (len(text) if text.isascii() else 2 * len(text.encode()))


def _declared(name: str) -> list[int]:
    """Return the bounds on a row's tokens that a model's files declare."""
    bounds = []
    for file, key in (("config.json", "max_position_embeddings"), ("tokenizer_config.json", "model_max_length")):
        path = local_file(name, file)
        value = json.loads(path.read_text(encoding="utf-8")).get(key) if path else None
        bounds += [int(value)] if isinstance(value, int | float) and value > 0 else []
    return bounds
