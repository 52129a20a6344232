"""Argilla's records, of version 2 (nested, or flattened as in its Hugging Face data sets) and of version 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cl.ingestion.formats.exports._base import NoLabelError, SetAsideError, agreed, as_span, only_label, tag_spans

RESPONSES = ".responses"
OLD = {"Default", "Edited", "Discarded", "Validated"}
"""What a record of version 1 may be; only validated ones are labelled."""


def recognise(record: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return how the records of this export become rows, or None if this is none."""
    if isinstance(record.get("fields"), dict) and isinstance(record.get("responses"), dict):
        return _nested_row
    if "_server_id" in record and any(name.endswith(RESPONSES) for name in record):
        return _flat_row
    return _old_row if record.get("status") in OLD and {"annotation", "prediction"} <= record.keys() else None


def _nested_row(record: dict[str, Any]) -> dict[str, Any]:
    answers = {question: [answer["value"] for answer in given] for question, given in record["responses"].items()}
    return _with_answers({**(record.get("metadata") or {}), **record["fields"], "id": record.get("id")}, answers)


def _flat_row(record: dict[str, Any]) -> dict[str, Any]:
    answers = {}
    for name, values in record.items():
        if name.endswith(RESPONSES) and values is not None:
            states = record.get(f"{name}.status") or ["submitted"] * len(values)
            pairs = zip(values, states, strict=True)
            answers[name.removesuffix(RESPONSES)] = [value for value, state in pairs if state in ("submitted", None)]
    row = {name: value for name, value in record.items() if RESPONSES not in name and ".suggestion" not in name}
    return _with_answers({name: value for name, value in row.items() if name != "_server_id"}, answers)


def _with_answers(row: dict[str, Any], answers: dict[str, list[Any]]) -> dict[str, Any]:
    """Return a row with what was answered to each question; of the only choice as label, of the only spans as tags."""
    given = {question: agreed(values) for question, values in answers.items() if values}
    if not given:
        raise NoLabelError("without a response")
    spans = {name: value for name, value in given.items() if _is_spans(value)}
    classes = {name: value for name, value in given.items() if isinstance(value, str) or _is_names(value)}
    columns = {name: only_label(value) if isinstance(value, list) else value for name, value in classes.items()}
    if len(classes) == 1:
        columns["label"] = next(iter(columns.values()))
    if len(spans) > 1:
        raise SetAsideError("spans of several questions")
    for value in spans.values():
        columns |= tag_spans(_text(row), map(as_span, value))
    return row | columns


def _is_spans(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) and "start" in part for part in value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(part, str) for part in value)


def _text(row: dict[str, Any]) -> str:
    texts = [value for name, value in row.items() if isinstance(value, str) and name != "id" and name != "status"]
    text = row.get("text", texts[0] if len(texts) == 1 else None)
    if not isinstance(text, str):
        raise SetAsideError("which field is the text is not clear")
    return text


def _old_row(record: dict[str, Any]) -> dict[str, Any]:
    if record["status"] != "Validated" or record["annotation"] is None:
        raise NoLabelError("without a validated annotation")
    text = record.get("text") or (record.get("inputs") or {}).get("text")
    row = {**(record.get("metadata") or {}), "id": record.get("id"), "text": text}
    annotation = record["annotation"]
    if not record.get("tokens"):
        return row | {"label": only_label(annotation) if isinstance(annotation, list) else annotation}
    spans = [[part[1], part[2], part[0]] if isinstance(part, list) else part for part in annotation]
    return row | tag_spans(str(text), map(as_span, spans), _offsets(str(text), record["tokens"]))


def _offsets(text: str, tokens: list[str]) -> list[tuple[int, int]]:
    offsets, end = [], 0
    for token in tokens:
        start = text.index(token, end)
        end = start + len(token)
        offsets.append((start, end))
    return [(start, end) for start, end in offsets if not text[start:end].isspace()]
