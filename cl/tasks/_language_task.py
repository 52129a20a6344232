"""What all tasks of language models have in common: tokens as targets, one class of rows, and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from cl.tasks import IGNORED, Capability, Encoded, Prediction, RatedText, Schema, Task

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from transformers import PreTrainedTokenizerBase

ANSWER = "text"
"""The only label of what a model writes."""


@dataclass(frozen=True)
class Written:
    """The tokens of a row's prompt, and after which position each of its targets is written.

    Of a text that is learned as a whole, ``bytes`` is its size in UTF-8, and ``start`` counts its targets before a
    block.
    """

    prompt: list[int]
    positions: list[int]
    start: int = 0
    bytes: int = 0


class LanguageTask(Task):
    """Base of the tasks of language models: the targets of a row are tokens, each written after a position of it."""

    schema: ClassVar[Schema]
    provides: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})
    solver: ClassVar[dict[str, Any] | None] = None
    defaults: ClassVar[Mapping[str, Any]] = {
        "model": {"name": "smollm2", "max_length": 256, "tuning": {"name": "lora", "rank": 10, "alpha": 20.0}},
        "training": {"batch_size": 8},
        "drift": {"max_rows": 200, "reference_rows": 200},
        "distil": {"student": {"layers": None, "vocabulary": None}},
        "evaluation": {
            "max_rows": 200,
            "robustness": [],
            "latency_calls": 3,
            "throughput_rows": 8,
        },
    }

    max_new_tokens: int = Field(64, ge=1, le=4096, description="Most tokens of an answer")

    @property
    def most_new_tokens(self) -> int:
        """The most tokens of an answer."""
        return self.max_new_tokens

    def labels(self, rows: pd.DataFrame) -> list[str]:
        """Return the name of what a model can answer."""
        return [ANSWER]

    def targets(self, batch: list[Encoded], length: int) -> torch.Tensor:
        """Return the tokens of the answers (rows, targets), -100 where a shorter one has ended."""
        import torch

        most = max(1, *(len(row.targets) for row in batch))
        return torch.tensor([row.targets + [IGNORED] * (most - len(row.targets)) for row in batch])

    def extras(self, batch: list[Encoded], length: int) -> dict[str, torch.Tensor]:
        """Return ``positions`` (rows, targets): after which token of the row each token of the answer is written."""
        import torch

        most = max(1, *(len(row.targets) for row in batch))
        return {
            "positions": torch.tensor(
                [row.context.positions + [0] * (most - len(row.context.positions)) for row in batch]
            )
        }

    def rate(self, encoded: Encoded, loss: float) -> Prediction:
        """Return a blank answer that knows how probable the true one is; that is its confidence, too."""
        return Prediction(RatedText("", loss), exp(-loss))

    def class_scores(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, float]:
        """Return nothing: rows have no classes."""
        return {}

    def per_class(self, rows: pd.DataFrame, predictions: list[Any]) -> dict[str, dict[str, float]]:
        """Return nothing: rows have no classes."""
        return {}

    def classes(self, rows: pd.DataFrame) -> pd.Series:
        """Return the same class for each row: what was written is no class."""
        import pandas as pd

        return pd.Series(ANSWER, index=rows.index, dtype=object)

    def class_names(self, labels: list[str]) -> list[str]:
        """Return the class of all rows."""
        return [ANSWER]

    def scored_classes(self, labels: list[str]) -> list[str]:
        """Return nothing: rows have no classes to score."""
        return []


def general_ids(texts: list[str]) -> list[str]:
    """Return ids for general texts, which no row of a stream has."""
    return [f"(general text {number})" for number in range(len(texts))]


def first_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the token that stands for a prompt of which the tokenizer leaves nothing."""
    named = (getattr(tokenizer, f"{kind}_token_id", None) for kind in ("bos", "eos", "unk", "pad"))
    return next(int(id) for id in named if id is not None)
