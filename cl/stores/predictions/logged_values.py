"""How inputs and answers are kept in the logs: in columns of their own where there is one, and else as JSON.

A text is in ``text``, words are in ``tokens``, and all other inputs in ``inputs``, an object by their names. Of
feedback, a label is in ``label``, tags are in ``tags``, and any other answer is in ``answer``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cl.tasks import Column, Schema, ValueKind

if TYPE_CHECKING:
    import pandas as pd

OWN = {("text", ValueKind.TEXT), ("tokens", ValueKind.WORDS)}
"""Inputs with a column of their own in the log of predictions, by their names and kinds."""
REST = "inputs"
INPUTS = ("text", "tokens", REST)
"""The columns of that log that hold inputs."""
ANSWERS = {ValueKind.LABEL: "label", ValueKind.TAGS: "tags"}
OTHER_ANSWER = "answer"
"""The column of the log of feedback with answers of all other kinds, as JSON."""


def input_entry(inputs: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    """Return what an entry of the log keeps of a row's inputs, by the log's columns."""
    own = {column.name: inputs.get(column.name) for column in schema.inputs if _has_column(column)}
    rest = {name: inputs.get(name) for name in schema.input_names if name not in own}
    return own | ({REST: json.dumps(rest, ensure_ascii=False, default=_plain)} if rest else {})


def to_log(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return rows with their inputs in the log's columns."""
    rest = [column.name for column in schema.inputs if not _has_column(column)]
    if not rest:
        return rows
    inputs = (dict(zip(rest, values, strict=True)) for values in zip(*(rows[name] for name in rest), strict=True))
    texts = [json.dumps(values, ensure_ascii=False, default=_plain) for values in inputs]
    return rows.drop(columns=rest).assign(**{REST: texts})


def from_log(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return rows of the log with a column for each input; None where an entry lacks it."""
    import pandas as pd

    missing = [column.name for column in schema.inputs if not _has_column(column) or column.name not in rows]
    if missing:
        held = [_read(text) for text in rows[REST]] if REST in rows else [{} for _ in range(len(rows))]
        values = {name: pd.Series([row.get(name) for row in held], index=rows.index, dtype=object) for name in missing}
        rows = rows.assign(**values)
    return rows.drop(columns=[name for name in INPUTS if name in rows and name not in schema.input_names])


def answer_entry(answer: Any, schema: Schema) -> dict[str, Any]:
    """Return what an entry of the log of feedback keeps of an answer, by the log's columns."""
    if schema.answer.kind in ANSWERS:  # whatever a client sent, its column can hold it
        return {"label": answer} if isinstance(answer, str) else {"tags": answer}
    return {OTHER_ANSWER: json.dumps(answer, ensure_ascii=False)}


def answers_in(feedback: pd.DataFrame, schema: Schema) -> list[Any]:
    """Return the answers in rows of the log of feedback; None where there is none."""
    column = ANSWERS.get(schema.answer.kind)
    if column is not None:
        return feedback[column].tolist() if column in feedback else [None] * len(feedback)
    texts = feedback[OTHER_ANSWER].tolist() if OTHER_ANSWER in feedback else [None] * len(feedback)
    return [json.loads(text) if isinstance(text, str) else None for text in texts]


def _has_column(column: Column) -> bool:
    return (column.name, column.kind) in OWN


def _read(text: object) -> dict[str, Any]:
    content = json.loads(text) if isinstance(text, str) else None
    return content if isinstance(content, dict) else {}


def _plain(value: Any) -> Any:
    """Return an array or a number of numpy as JSON knows it."""
    return value.tolist()
