"""MLflow's scoring protocol (version 2.0), so that clients of `mlflow models serve` work unchanged."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from cl.models.input_problems import row_problem
from cl.serving.errors import RequestError
from cl.serving.request_problems import kind_of
from cl.serving.served_model import RowAnswer
from cl.tasks import Column, Schema, ValueKind

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def read_values(body: bytes, content_type: str, schema: Schema) -> list[Any]:
    """Return the inputs of the task as they are, in row order; other columns are ignored, as in MLflow.

    Values of the only input are bare; where there are several, each row is a mapping from their names.

    Raises:
        RequestError: the body is in none of the protocol's formats, or lacks a column.
    """
    kind, *parameters = [part.strip().lower() for part in content_type.split(";")]
    if any(item and item.replace('"', "") not in ("charset=utf-8", "charset=utf8") for item in parameters):
        raise RequestError(415, f"content type '{kind}' accepts only the parameter charset=utf-8")
    if kind == "text/csv":
        text = _decode(body)
        return _join([(column, _read_csv(text, column)) for column in schema.inputs])
    if kind == "application/json":
        content = _read_json(body)
        return _join([(column, _extract_column(content, column)) for column in schema.inputs])
    raise RequestError(415, f"content type '{kind[:100]}' cannot be read; send application/json or text/csv")


def find_problems(values: list[Any], schema: Schema) -> list[str | None]:
    """Return for each row why it has no answer, as pyfunc says it; None: it has one.

    Raises:
        RequestError: a text or a token cannot be answered by any version.
    """
    rows = values if schema.input is None else [{schema.input.name: value} for value in values]
    problems = [row_problem(row, schema) for row in rows]
    for number, (row, problem) in enumerate(zip(rows, problems, strict=True)):
        for column in schema.inputs if problem is None else ():
            _check_value(row[column.name], column, number)
    return problems


def _join(columns: list[tuple[Column, list[Any]]]) -> list[Any]:
    """Return the rows in columns; of a single one, its values."""
    if len(columns) == 1:
        return columns[0][1]
    counts = {column.name: len(values) for column, values in columns}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' has {count}" for name, count in counts.items())
        raise RequestError(400, f"the columns differ in length: {listed}")
    names = [column.name for column, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(values for _, values in columns), strict=True)]


def _extract_column(content: dict[str, Any], column: Column) -> list[Any]:
    values = _extract_values(content, column.name)
    return values if column.kind.is_list else list(map(_without_dimension, values))


def format_predictions(answers: list[RowAnswer], problems: list[str | None], label: str) -> dict[str, Any]:
    """Return the response of `mlflow models serve`.

    Args:
        answers: of the values without a problem.
        problems: of all values; if there is one, each row says in ``error`` what it is, as in pyfunc.
        label: the task's output column.
    """
    given = iter(answers)
    rows: list[dict[str, Any]] = []
    for problem in problems:
        answer = next(given) if problem is None else None
        rows.append({label: answer and answer.value, "confidence": answer and answer.confidence})
    if any(problems):
        rows = [{**row, "error": problem} for row, problem in zip(rows, problems, strict=True)]
    return {"predictions": rows}


def _decode(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8 at byte {error.start}") from None


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(_decode(body))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(content, dict) or sum(name in content for name in FORMATS) != 1:
        raise RequestError(400, f"the body must be a JSON object with exactly one of {', '.join(FORMATS)}")
    return content


def _extract_values(content: dict[str, Any], column: str) -> list[Any]:
    name = next(name for name in FORMATS if name in content)
    values = content[name]
    if name == "dataframe_split":
        return _extract_split(values, column)
    if isinstance(values, dict):  # inputs: {column: values}
        return _as_list(values[column]) if column in values else _raise_missing(column)
    if isinstance(values, str):
        return [values]
    if not isinstance(values, list):
        raise RequestError(400, f"{name}: expected a list, got {kind_of(values)}")
    if name == "dataframe_records" or any(isinstance(row, dict) for row in values):
        return [row[column] if isinstance(row, dict) and column in row else _raise_missing(column) for row in values]
    return values


def _extract_split(table: Any, column: str) -> list[Any]:
    if not isinstance(table, dict) or not isinstance(table.get("data"), list):
        raise RequestError(400, "dataframe_split must be an object with columns and data")
    columns = table.get("columns", [column])
    if not isinstance(columns, list) or column not in columns:
        _raise_missing(column)
    index = columns.index(column)
    if not all(isinstance(row, list) and len(row) == len(columns) for row in table["data"]):
        raise RequestError(400, f"dataframe_split: each row of data must be a list of {len(columns)} values")
    return [row[index] for row in table["data"]]


def _read_csv(text: str, wanted: Column) -> list[Any]:
    column = wanted.name
    if wanted.kind.is_list:
        raise RequestError(415, f"lists of {column} do not fit into CSV; send JSON")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(rows, [])
        if column not in names:
            _raise_missing(column)
        index = len(names) - 1 - names[::-1].index(column)  # of equal names the last one counts, as in MLflow
        # an empty cell is a missing value, as in MLflow
        return [(row[index] or None) if index < len(row) else _raise_missing(column) for row in rows if row]
    except csv.Error as error:
        raise RequestError(400, f"the body is not CSV: {error}") from None


def _without_dimension(value: Any) -> Any:
    """Return the value of a row of a tensor of one column: inputs: [["text"], ...]."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _raise_missing(column: str) -> Any:
    raise RequestError(400, f"the input lacks the column '{column}'")


def _check_value(value: Any, column: Column, row: int) -> None:
    if column.kind is ValueKind.WORDS and not (
        value and all(isinstance(token, str) and token.strip() for token in value)
    ):
        raise RequestError(400, f"row {row}: '{column.name}': expected a list of tokens, none of them blank")
    try:
        _texts_in(value).encode()
    except UnicodeEncodeError:
        raise RequestError(400, f"row {row}: '{column.name}' holds half a character (a lone surrogate)") from None


def _texts_in(value: Any) -> str:
    """Return the texts in a value: its own, those of a list, or what is said in a conversation."""
    parts = (part["content"] if isinstance(part, dict) else part for part in value or ())
    return "".join(part for part in parts if isinstance(part, str))
