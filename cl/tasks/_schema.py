"""The schema of a task: which columns its rows have, and what kind of value each of them holds.

All that reads, checks, stores, hashes, serves or exports rows follows from the kinds: a task whose columns are of these
kinds needs no code elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


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
    MESSAGES = "messages"
    """A conversation: a list of turns, each with ``role`` and ``content``."""

    @property
    def is_read(self) -> bool:
        """Whether it holds text that a model reads: a text, or words."""
        return self in (ValueKind.TEXT, ValueKind.WORDS)

    @property
    def names_classes(self) -> bool:
        """Whether it names classes: a label, labels, or tags."""
        return self in (ValueKind.LABEL, ValueKind.LABELS, ValueKind.TAGS)

    @property
    def is_list(self) -> bool:
        """Whether it holds a list."""
        return self not in (ValueKind.TEXT, ValueKind.LABEL)


@dataclass(frozen=True)
class Column:
    """One column of a task's rows: its name in stored rows and in requests, and the kind of its values."""

    name: str
    kind: ValueKind
    description: str
    example: Any
    optional: bool = False
    """Whether rows may come without a value."""
    within: str | None = None
    """The text in which numbers say where each answer, a part of it, starts; None: they say something else."""


@dataclass(frozen=True)
class Schema:
    """The columns of a task: what a model is asked, what it answers, and what else its training rows have.

    ``split_by`` are the inputs that keep rows together: rows in which they are the same, such as all questions about
    one text, lie in one split. (): all inputs.
    """

    inputs: tuple[Column, ...]
    answer: Column
    further: tuple[Column, ...] = ()
    split_by: tuple[str, ...] = ()

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

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs."""
        return [column.name for column in self.inputs]

    @property
    def grouping(self) -> tuple[Column, ...]:
        """The inputs that keep rows together in one split."""
        return tuple(column for column in self.inputs if not self.split_by or column.name in self.split_by)

    @property
    def text(self) -> str | None:
        """The first input that is a text, which spans are parts of."""
        return next((column.name for column in self.inputs if column.kind is ValueKind.TEXT), None)

    @property
    def counts_characters(self) -> bool:
        """Whether a column counts the characters of a text, which then must stay as it is."""
        return any(column.kind in (ValueKind.SPAN, ValueKind.NUMBERS) for column in self.columns)

    @property
    def answer_field(self) -> str:
        """What an answer is called in requests and responses: ``label`` where it names classes, else as its column."""
        return "label" if self.answer.kind.names_classes else self.answer.name

    def frame(self, values: Sequence[Any]) -> pd.DataFrame:
        """Return inputs as rows.

        Args:
            values: of the only input; or where there are several, a mapping from their names for each row.
        """
        import pandas as pd

        if self.input is not None:
            return pd.DataFrame({self.input.name: pd.Series(list(values), dtype=object)})
        return pd.DataFrame(
            {name: pd.Series([row.get(name) for row in values], dtype=object) for name in self.input_names}
        )
