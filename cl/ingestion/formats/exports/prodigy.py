"""Prodigy's JSON lines (`db-out`): one answer for each task, with a label, chosen options or spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cl.ingestion.formats.exports._base import NoLabelError, as_span, only_label, tag_spans

ANSWERS = {"accept": "", "reject": "rejected", "ignore": "ignored"}
MARKS = {"_input_hash", "_task_hash", "_session_id", "_view_id", "_timestamp", "spans", "options", "accept"}
"""Fields of which a task has at least one; an answer alone may be a label of somebody's own."""


def recognise(record: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return how the records of this export become rows, or None if this is none."""
    is_task = record.get("answer") in ANSWERS and isinstance(record.get("text"), str) and MARKS & record.keys()
    return _row if is_task else None


def _row(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an accepted task; that a label was rejected does not say which is right."""
    if record["answer"] != "accept":
        raise NoLabelError(ANSWERS[record["answer"]])
    row = {name: value for name, value in record.items() if name not in {*MARKS, "tokens", "answer"}}
    if "id" not in row and "id" in (record.get("meta") or {}):
        row["id"] = record["meta"]["id"]
    if "accept" in record or "options" in record:
        row["label"] = only_label(record.get("accept") or [])
    if "spans" in record:
        tokens = [token for token in record.get("tokens") or [] if not token["text"].isspace()]
        offsets = [(token["start"], token["end"]) for token in tokens] or None
        row |= tag_spans(record["text"], map(as_span, record["spans"] or []), offsets)
    return row
