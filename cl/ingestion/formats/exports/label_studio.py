"""Label Studio's JSON and JSON-MIN: tasks with the results of their annotators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cl.ingestion.formats.exports._base import NoLabelError, SetAsideError, agreed, as_span, only_label, tag_spans

KINDS = ("labels", "hypertextlabels", "paragraphlabels")
NOTES = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
"""Fields that JSON-MIN puts after the answers."""


def recognise(record: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return how the records of this export become rows, or None if this is none."""
    if isinstance(record.get("data"), dict) and isinstance(_annotations(record), list):
        return _task_row
    return _small_row if {"annotation_id", "annotator", "lead_time"} <= record.keys() else None


def _annotations(record: dict[str, Any]) -> Any:
    return record.get("annotations", record.get("completions"))


def _task_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a task: what it shows, what its annotators say, and by its name what each question got."""
    finished = [entry for entry in _annotations(record) if not (entry.get("was_cancelled") or entry.get("skipped"))]
    if not finished:
        raise NoLabelError("without an annotation")
    answers = agreed([_answers(annotation["result"]) for annotation in finished])
    row = {**record["data"], "id": record.get("id")}
    return row | _columns(row, answers, {result["from_name"]: result["to_name"] for result in finished[0]["result"]})


def _answers(results: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return for each question the chosen names, or its spans, in a stable order."""
    answers: dict[str, list[Any]] = {}
    for result in results:
        value, kind = result.get("value", {}), result.get("type")
        if kind == "choices":
            answers.setdefault(result["from_name"], []).extend(value["choices"])
        elif kind in KINDS:
            answers.setdefault(result["from_name"], []).append(_span(value, kind))
    return {name: sorted(answers[name]) for name in sorted(answers)}


def _span(value: dict[str, Any], kind: str = "labels") -> tuple[int, int, str]:
    offsets = value.get("globalOffsets", value)
    return as_span([offsets["start"], offsets["end"], only_label(value[kind])])


def _small_row(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a task in JSON-MIN, where the answers stand between the id and the notes."""
    names = list(record)
    first = names.index("id") + 1 if "id" in names else 0
    questions = [name for name in names[first:] if name not in NOTES and _is_answer(record[name])]
    answers = {name: _small_answer(record[name]) for name in questions}
    row = {name: value for name, value in record.items() if name not in NOTES}
    return row | _columns(row, answers, dict.fromkeys(questions, "text"))


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, dict) and "choices" in value) or _is_spans(value)


def _is_spans(value: Any) -> bool:
    return (
        isinstance(value, list) and bool(value) and all(isinstance(part, dict) and "labels" in part for part in value)
    )


def _small_answer(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [value]
    return sorted(map(_span, value)) if isinstance(value, list) else value["choices"]


def _columns(row: dict[str, Any], answers: dict[str, list[Any]], shown: dict[str, str]) -> dict[str, Any]:
    """Return each class by its question, and where there is one alone, it as label, or its spans as tokens and tags."""
    spans = {name: values for name, values in answers.items() if values and isinstance(values[0], tuple)}
    classes = {name: values for name, values in answers.items() if name not in spans}
    columns: dict[str, Any] = {name: only_label(values) for name, values in classes.items()}
    if len(classes) == 1:
        columns["label"] = next(iter(columns.values()))
    if not classes and len(spans) <= 1:  # a text without entities has no result at all
        text = _text(row, next((shown[name] for name in spans), "text"))
        columns |= tag_spans(text, next(iter(spans.values()), []))
    elif len(spans) > 1:
        raise SetAsideError("spans of several questions")
    elif spans:
        (name,) = spans
        columns |= tag_spans(_text(row, shown[name]), spans[name])
    return columns


def _text(row: dict[str, Any], name: str) -> str:
    texts = {key: value for key, value in row.items() if isinstance(value, str) and key != "id"}
    chosen = texts.get(name, texts.get("text", next(iter(texts.values())) if len(texts) == 1 else None))
    if chosen is None:
        raise SetAsideError("which field is the text is not clear")
    return chosen
