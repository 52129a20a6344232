"""doccano's JSON and JSON lines: classes as lists of names, entities as lists of start, end and type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cl.ingestion.formats.exports._base import as_span, tag_spans

LABELS = ("label", "labels", "cats")
SPANS = ("entities", "label", "labels")
MARKS = ("Comments", "annotation_approver", "cats")
"""Fields that doccano adds to what was labelled."""


def recognise(record: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return how the records of this export become rows, or None if this is none.

    Classes are lists of texts in `label`, `labels` or, of intents, `cats`; entities are lists of ``[start, end, type]``
    in `label`, `labels` or `entities`, or in `entities` objects with `start_offset`, `end_offset` and `label`.
    """
    if not isinstance(record.get("text"), str):
        return None
    values = {name: record[name] for name in {*LABELS, *SPANS} if isinstance(record.get(name), list) and record[name]}
    for name in SPANS:
        if name in values and all(map(_is_span, values[name])):
            return _span_row
    if any(name in values and all(isinstance(value, str) for value in values[name]) for name in LABELS):
        return _class_row
    return None


def is_certain(record: dict[str, Any]) -> bool:
    """Return whether nothing but doccano writes a record like one that `recognise` has recognised.

    A text with a list of names is also how anybody writes a text with several labels.
    """
    values = (record.get(name) for name in SPANS)
    has_spans = any(isinstance(value, list) and value and all(map(_is_span, value)) for value in values)
    return has_spans or any(name in record for name in MARKS)


def is_undecided(record: dict[str, Any]) -> bool:
    """Return whether a record could be of either kind: a text whose list of labels is empty."""
    return isinstance(record.get("text"), str) and any(record.get(name) == [] for name in (*LABELS, *SPANS))


def _is_span(value: Any) -> bool:
    if isinstance(value, dict):
        return "start_offset" in value and "end_offset" in value and "label" in value
    return isinstance(value, list) and len(value) == 3 and [type(part) for part in value] == [int, int, str]


def _span_row(record: dict[str, Any]) -> dict[str, Any]:
    values = next(record[name] for name in SPANS if isinstance(record.get(name), list))
    spans = [as_span(value, start="start_offset", end="end_offset") for value in values]
    row = {name: value for name, value in record.items() if value is not values}
    return _class_row(row) | tag_spans(record["text"], spans)


def _class_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return a row with a list of one label as the label itself; a list of none or several stays as it is."""
    for name in LABELS:
        value = record.get(name)
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            return record | {"label": value[0]}
    return record
