"""The schema of a task: which columns its rows have, and what kind of value each of them holds.

All that reads, checks, stores, hashes, serves or exports rows follows from the kinds: a task whose columns are of these
kinds needs no code elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ValueKind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    """A text."""
    WORDS = "words"
    """A list of words, none of them blank."""
    SPAN = "span"
    """A part of the text in the same row: its first character, and the one after its last."""
    LABEL = "label"
    """The name of one class."""
    LABELS = "labels"
    """A list of class names, in any order, each once; it may be empty."""
    TAGS = "tags"
    """A BIO2 tag for each word."""
    TEXTS = "texts"
    """A list of texts; it may be empty."""
    NUMBERS = "numbers"
    """A list of integers; it may be empty."""


@dataclass(frozen=True)
class Column:
    """One column of a task's rows: its name in stored rows and in requests, and the kind of its values."""

    name: str
    kind: ValueKind
    description: str
    example: Any
    optional: bool = False
    """Whether rows may come without a value."""


@dataclass(frozen=True)
class Schema:
    """The columns of a task: what a model is asked, what it answers, and what else its training rows have."""

    inputs: tuple[Column, ...]
    answer: Column
    further: tuple[Column, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns: the inputs, the answer, and the further ones."""
        return (*self.inputs, self.answer, *self.further)

    @property
    def input(self) -> Column | None:
        """The input of a task that has only one; None: it has several."""
        return self.inputs[0] if len(self.inputs) == 1 else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.columns)
