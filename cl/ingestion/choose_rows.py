"""What is done with the chunks of a batch before their rows are checked: some are left out, tags become BIO2."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from cl.config import Config
from cl.errors import InputError, SourceError
from cl.ingestion.internal_columns import UNREADABLE, InternalColumn
from cl.ingestion.tag_schemes import BatchTags
from cl.ingestion.values import one_line
from cl.row_filter import numbers_in, select_rows
from cl.tasks import Task

log = logging.getLogger(__name__)


def prepare_chunks(origin: str, chunks: Iterable[pd.DataFrame], config: Config, task: Task) -> Iterator[pd.DataFrame]:
    """Yield the chunks of a batch without the rows that `data.where` leaves out, and with their tags in BIO2.

    Raises:
        SourceError: the condition does not fit the columns, or the tags mix schemes or are in none.
    """
    tags = BatchTags(origin, config.data.tags) if task.name == "token_classification" else None
    left_out = total = 0
    for chunk in chunks:
        total += len(chunk)
        chosen = chunk if config.data.where is None else _chosen_rows(origin, chunk, config.data.where)
        left_out += len(chunk) - len(chosen)
        if len(chosen):
            yield chosen if tags is None else tags.to_bio2(chosen)
    if tags is not None:
        tags.finish()
    if config.data.where is not None:
        log.warning("%s: data.where left out %s of %s rows", origin, f"{left_out:,}", f"{total:,}")


def _chosen_rows(origin: str, chunk: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the rows that a condition chooses; those that could not be read stay, so that they are counted as such."""
    rows = chunk.drop(columns=list(InternalColumn), errors="ignore")
    numbers = numbers_in(condition)
    for name in numbers & set(rows.columns):
        rows[name] = _as_numbers(origin, name, rows[name])
    try:
        chosen = select_rows(condition, rows, numbers=numbers)
    except InputError as error:
        raise SourceError(one_line(f"{origin}: data.where: {error}", 1_000)) from None
    if UNREADABLE in chunk:
        chosen = chosen | chunk[UNREADABLE].notna().to_numpy()
    return chunk if chosen.all() else chunk[chosen].reset_index(drop=True)


def _as_numbers(origin: str, name: str, column: pd.Series) -> pd.Series:
    """Return a column as numbers; a cell that holds none is missing, and a column without any is refused."""
    texts = column.map(lambda value: value.strip() or None if isinstance(value, str) else value)
    values = pd.to_numeric(texts, errors="coerce").astype(float)
    given = texts.notna().to_numpy()
    if given.any() and np.isnan(values.to_numpy()[given]).all():
        example = one_line(str(texts[given].iloc[0]), 100)
        raise SourceError(f"{origin}: data.where compares column '{name}' with a number, but it holds '{example}'")
    return values
