"""What is done with the chunks of a batch before their rows are checked: some are left out, tags become BIO2."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from cl.config import Config
from cl.config.row_filter import numbers_in, select_rows
from cl.errors import InputError, SourceError
from cl.ingestion.internal_columns import UNREADABLE, InternalColumn
from cl.ingestion.tag_schemes import BatchTags
from cl.ingestion.values import one_line
from cl.tasks import Task, ValueKind

log = logging.getLogger(__name__)


def prepare_chunks(origin: str, chunks: Iterable[pd.DataFrame], config: Config, task: Task) -> Iterator[pd.DataFrame]:
    """Yield the chunks of a batch without the rows that `data.where` leaves out, and with their tags in BIO2.

    Raises:
        SourceError: the condition does not fit the columns, or the tags mix schemes or are in none.
    """
    answer = task.schema.answer
    tags = BatchTags(origin, config.data.name_of(answer.name)) if answer.kind is ValueKind.TAGS else None
    choice = None if config.data.where is None else _Choice(origin, config.data.where)
    for chunk in chunks:
        chosen = chunk if choice is None else choice.of(chunk)
        if len(chosen):
            yield chosen if tags is None else tags.to_bio2(chosen)
    if tags is not None:
        tags.finish()
    if choice is not None:
        choice.finish()


@dataclass
class _Choice:
    """Which rows of a batch a condition chooses, chunk by chunk."""

    origin: str
    condition: str
    left_out: int = 0
    total: int = 0
    texts: dict[str, str] = field(default_factory=dict)
    """Of each column that is compared with a number: a cell that is none."""
    numeric: set[str] = field(default_factory=set)
    """Columns in which a number has been."""

    def of(self, chunk: pd.DataFrame) -> pd.DataFrame:
        """Return the chosen rows; those that could not be read stay, so that they are counted as such."""
        rows = chunk.drop(columns=list(InternalColumn), errors="ignore")
        numbers = numbers_in(self.condition)
        for name in numbers & set(rows.columns):
            rows[name] = self._as_numbers(name, rows[name])
        try:
            chosen = select_rows(self.condition, rows, numbers=numbers)
        except InputError as error:
            raise SourceError(one_line(f"{self.origin}: data.where: {error}", 1_000)) from None
        if UNREADABLE in chunk:
            chosen = chosen | chunk[UNREADABLE].notna().to_numpy()
        self.total += len(chunk)
        self.left_out += int((~chosen).sum())
        return chunk if chosen.all() else chunk[chosen].reset_index(drop=True)

    def _as_numbers(self, name: str, column: pd.Series) -> pd.Series:
        """Return a column as numbers; a cell that holds none is missing."""
        texts = column.map(lambda value: value.strip() or None if isinstance(value, str) else value)
        values = pd.to_numeric(texts, errors="coerce").astype(float)
        if values.notna().any():
            self.numeric.add(name)
        for text in texts[texts.notna() & values.isna()].head(1):
            self.texts.setdefault(name, str(text))
        return values

    def finish(self) -> None:
        """Say how many rows were left out.

        Raises:
            SourceError: a column that is compared with a number holds none in any row.
        """
        for name, text in self.texts.items():
            if name not in self.numeric:
                raise SourceError(
                    f"{self.origin}: data.where compares column '{name}' with a number, but it holds "
                    f"'{one_line(text, 100)}'"
                )
        log.warning("%s: data.where left out %s of %s rows", self.origin, f"{self.left_out:,}", f"{self.total:,}")
