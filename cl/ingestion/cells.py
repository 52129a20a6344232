"""From raw cells to the values of a column, by its kind, and what is wrong with those that hold something else.

- text: any scalar; surrounding blanks are dropped, unless other columns count its characters.
- words, tags: a list, a list in JSON, or words separated by blanks.
- label: a text, or a list of one.
- labels: a list, a list in JSON, or names separated by ``;`` or ``|``. An empty list says that no label applies; an
  empty cell is a missing one.
- span: two integers: a list, a list in JSON, an object with ``start`` and ``end``, or ``12:27``.
- texts: a list of texts, also in JSON; an object with such a list under ``text``; any other text is the only one. An
  empty list is a value; an empty cell is a missing one.
- messages: a list of turns with role and content, also in JSON.
- numbers: a list of integers, also in JSON; an object with such a list under ``answer_start``; or integers separated by
  blanks or commas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from cl.ingestion.conversations import read_conversations
from cl.ingestion.label_cells import STRUCTURE, as_list, one_spelling, read_label_cells
from cl.ingestion.tag_schemes import is_bio2
from cl.ingestion.values import as_text, as_words
from cl.records import ANNOTATED
from cl.tasks import Column, Schema, ValueKind, names_in

Read: TypeAlias = "tuple[list[Any], dict[str, np.ndarray]]"
"""The value of each cell, None where there is none, and which cells hold something else, by the reason."""
BETWEEN_LABELS = re.compile(r"\s*[;|]\s*")
SPAN_TEXT = re.compile(r"(\d+)\s*[:,;-]\s*(\d+)", re.ASCII)
INTEGER = re.compile(r"-?\d+(?:\.0+)?", re.ASCII)


def read_cells(cells: pd.Series, column: Column, schema: Schema, spellings: Mapping[str, str] | None) -> Read:
    """Return what the cells of a column hold.

    Args:
        cells: as they were read from the source.
        column: one of the schema's.
        schema: of the rows.
        spellings: of labels of earlier experiences that are numbers or truth values; None: labels stay as they are
            written.
    """
    if column.kind is ValueKind.TEXT:
        return (_untouched(cells) if schema.counts_characters else as_text(cells)), {}
    if column.kind in (ValueKind.WORDS, ValueKind.TAGS):
        return list(map(as_words, cells.tolist())), {}
    if column.kind is ValueKind.LABEL:
        labels, problems = read_label_cells(cells)
        return labels if spellings is None else one_spelling(labels, spellings), problems
    if column.kind is ValueKind.LABELS:
        return _read_labels(cells, spellings)
    if column.kind is ValueKind.MESSAGES:
        return read_conversations(cells, column.name)
    reader, what = _READERS[column.kind]
    return _read_each(cells, reader, f"{column.name} is no {what}")


def check_together(rows: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """Return the checks of values that depend on others of their row, by their reasons."""
    checks: dict[str, np.ndarray] = {}
    words = next((column for column in schema.inputs if column.kind is ValueKind.WORDS), None)
    for column in schema.columns:
        values = rows[column.name]
        if column.kind is ValueKind.TAGS and words is not None:
            checks[f"{words.name} and {column.name} differ in length"] = _unequal(rows[words.name], values)
            checks["not BIO2"] = np.array([not is_bio2(tags or []) for tags in values], dtype=bool)
        elif column.kind is ValueKind.SPAN and schema.text is not None:
            checks[f"{column.name} is outside of the text"] = outside_of_text(values, rows[schema.text])
        elif column.kind is ValueKind.NUMBERS and schema.answer.kind is ValueKind.TEXTS:
            given = values.notna().to_numpy()
            unequal = _unequal(rows[schema.answer.name], values)
            checks[f"{schema.answer.name} and {column.name} differ in length"] = given & unequal
    if ANNOTATED in rows:
        answers = zip(rows[schema.answer.name], rows[ANNOTATED], strict=True)
        checks["an entity of a type that data.annotated does not name"] = np.array(
            [not set(names_in(schema.answer.kind, tags or [])) <= set(types) for tags, types in answers], dtype=bool
        )
    return checks


def outside_of_text(spans: pd.Series, texts: pd.Series) -> np.ndarray:
    """Return which spans are no part of their text."""
    pairs = zip(spans, texts, strict=True)
    return np.array([span is not None and not is_within(span, text or "") for span, text in pairs], dtype=bool)


def is_within(span: list[int], text: str) -> bool:
    """Return whether a span is a part of a text, of one character or more.

    >>> is_within([0, 4], "Anna"), is_within([2, 2], "Anna"), is_within([2, 5], "Anna")
    (True, False, False)
    """
    return 0 <= span[0] < span[1] <= len(text)


def _untouched(cells: pd.Series) -> list[str | None]:
    """Return texts with their blanks; None for those that hold nothing else."""
    texts = as_text(cells)
    return [
        cell if text is not None and isinstance(cell, str) else text for cell, text in zip(cells, texts, strict=True)
    ]


def _read_labels(cells: pd.Series, spellings: Mapping[str, str] | None) -> Read:
    values: list[list[str] | None] = []
    broken = np.zeros(len(cells), dtype=bool)
    for index, (cell, text) in enumerate(zip(cells.tolist(), as_text(cells), strict=True)):
        listed = as_list(cell)
        parts = listed if listed is not None else BETWEEN_LABELS.split(text) if text else None
        broken[index] = isinstance(cell, dict) or any(isinstance(part, (list, tuple, dict)) for part in parts or ())
        if parts is None or broken[index]:
            values.append(None)
            continue
        written = [name for name in as_text(pd.Series(parts, dtype=object)) if name is not None]
        names = written if spellings is None else one_spelling(written, spellings)
        values.append(sorted({name for name in names if name}) if names or not parts else None)
    return values, {STRUCTURE: broken}


def _read_each(cells: pd.Series, read: Callable[[Any], Any], reason: str) -> Read:
    """Read cells one by one; one that holds something, but not a value, is broken."""
    values = [read(cell) for cell in cells.tolist()]
    holds = [text is not None or isinstance(cell, (list, tuple, dict, np.ndarray)) for cell, text in zip(
        cells.tolist(), as_text(cells), strict=True
    )]  # fmt: skip
    broken = np.array([value is None and held for value, held in zip(values, holds, strict=True)], dtype=bool)
    return values, {reason: broken}


def _read_span(cell: Any) -> list[int] | None:
    if isinstance(cell, str) and (match := SPAN_TEXT.fullmatch(cell.strip())):
        return [int(match[1]), int(match[2])]
    content = as_object(cell)
    if isinstance(content, dict):
        content = [content.get("start"), content.get("end")]
    numbers = _integers(content)
    return numbers if numbers is not None and len(numbers) == 2 else None


def _read_texts(cell: Any) -> list[str] | None:
    content = as_object(cell)
    if isinstance(content, dict):
        content = as_list(content.get("text"))
    if isinstance(content, list):
        texts = as_text(pd.Series(content, dtype=object))
        return None if None in texts else [text for text in texts if text is not None]
    (text,) = as_text(pd.Series([cell], dtype=object))
    return None if text is None or isinstance(cell, dict) else [text]


def _read_numbers(cell: Any) -> list[int] | None:
    content = as_object(cell)
    if isinstance(content, dict):
        content = as_list(content.get("answer_start"))
    if content is None and isinstance(cell, str):
        content = cell.replace(",", " ").split() or None
    return _integers([content] if isinstance(content, int | float) else content)


def as_object(cell: Any) -> Any:
    """Return a list or an object, also one that is written as text; None for anything else but numbers."""
    if isinstance(cell, dict) or (isinstance(cell, int | float) and cell == cell):
        return cell
    if isinstance(cell, str) and cell.lstrip().startswith("{"):
        import json

        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            return None
    return as_list(cell)


def _integers(parts: Any) -> list[int] | None:
    """Return integers from numbers or texts; None if a part is anything else."""
    if not isinstance(parts, list):
        return None
    texts = as_text(pd.Series(parts, dtype=object))
    if any(text is None or not INTEGER.fullmatch(text) for text in texts):
        return None
    return [int(float(text)) for text in texts if text is not None]


def _unequal(left: pd.Series, right: pd.Series) -> np.ndarray:
    return np.array([len(a or ()) != len(b or ()) for a, b in zip(left, right, strict=True)], dtype=bool)


_READERS: dict[ValueKind, tuple[Callable[[Any], Any], str]] = {
    ValueKind.SPAN: (_read_span, "span: two integers"),
    ValueKind.TEXTS: (_read_texts, "list of texts"),
    ValueKind.NUMBERS: (_read_numbers, "list of integers"),
}
"""How a cell is read, and what it should hold, in words."""
