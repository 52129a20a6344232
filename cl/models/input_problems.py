"""What is wrong with an input, so that it costs its row and not the batch: in pyfunc, and in MLflow's protocol."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from cl.tasks import Column, Schema, ValueKind, conversation_problem

PART = {ValueKind.WORDS: "token", ValueKind.LABELS: "label", ValueKind.TAGS: "tag", ValueKind.TEXTS: "text"}
"""What a part of a list is called."""


def row_problem(inputs: Mapping[str, Any], schema: Schema) -> str | None:
    """Return why a row of inputs, by their names, cannot be answered; None: it can."""
    problems = (input_problem(inputs.get(column.name), column) for column in schema.inputs)
    if problem := next((problem for problem in problems if problem is not None), None):
        return problem
    text = inputs.get(schema.text) if schema.text else None
    for column in schema.inputs:
        span = inputs.get(column.name)
        if column.kind is ValueKind.SPAN and span is not None and text is not None:
            start, end = span
            if not 0 <= start < end <= len(text):
                return f"{column.name} is outside of the text"
    return None


def input_problem(value: Any, column: Column) -> str | None:
    """Return why the value of an input cannot be answered; None: it can.

    >>> text, words = (Column("it", kind, "", "") for kind in (ValueKind.TEXT, ValueKind.WORDS))
    >>> input_problem(None, text), input_problem(3, text), input_problem(["my", None], words)
    ('it is missing', 'it is not text', 'token 1 is missing')
    """
    if _is_missing(value):
        return None if column.optional else f"{column.name} is missing"
    if not column.kind.is_list:
        return None if isinstance(value, str) else f"{column.name} is not text"
    if column.kind is ValueKind.MESSAGES:
        problem = conversation_problem(value)
        return None if problem is None else f"{column.name}: {problem}"
    if not isinstance(value, Collection) or isinstance(value, str | bytes | Mapping):
        return f"{column.name} is not a list"
    if column.kind in (ValueKind.SPAN, ValueKind.NUMBERS):
        numbers = all(hasattr(part, "__index__") and not isinstance(part, bool) for part in value)
        if column.kind is ValueKind.SPAN:
            return None if numbers and len(value) == 2 else f"{column.name} is not two integers"
        return None if numbers else f"{column.name} is not a list of integers"
    part = PART[column.kind]
    return next((f"{part} {index} is missing" for index, value in enumerate(value) if _is_missing(value)), None)


def _is_missing(value: Any) -> bool:
    if value is None or isinstance(value, str | list):
        return value is None

    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
