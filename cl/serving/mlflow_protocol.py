"""MLflow's scoring protocol (its version 2.0), so that clients of `mlflow models serve` need no change."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from cl.serving.errors import RequestError
from cl.serving.served_model import RowAnswer

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def parse_invocation(body: bytes, content_type: str, column: str) -> list[Any]:
    """Return the values of the task's input column, in the rows' order; other columns are ignored, as MLflow does.

    Raises:
        RefusedError: the body is in none of the protocol's formats, or lacks the column.
    """
    kind, *parameters = [part.strip().lower() for part in content_type.split(";")]
    if any(one and one.replace('"', "") not in ("charset=utf-8", "charset=utf8") for one in parameters):
        raise RequestError(415, f"content type '{kind}' may have the parameter charset=utf-8, and no other")
    if kind == "text/csv":
        values = _of_csv(_decoded(body), column)
    elif kind == "application/json":
        values = _of_json(_read_json(body), column)
    else:
        raise RequestError(415, f"content type '{kind[:100]}' cannot be read; send application/json or text/csv")
    return [_checked(value, column) for value in values]


def format_predictions(answers: list[RowAnswer], label: str) -> dict[str, Any]:
    """Return what `mlflow models serve` answers for a model of ours; ``label`` is the task's output column."""
    return {"predictions": [{label: one.value, "confidence": one.confidence} for one in answers]}


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8 at byte {error.start}") from None


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(_decoded(body))
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict) or sum(name in found for name in FORMATS) != 1:
        raise RequestError(400, f"the body must be a JSON object with exactly one of {', '.join(FORMATS)}")
    return found


def _of_json(found: dict[str, Any], column: str) -> list[Any]:
    name = next(name for name in FORMATS if name in found)
    given = found[name]
    if name == "dataframe_split":
        return _of_split(given, column)
    if isinstance(given, dict):  # inputs: {column: values}
        return _listed(given[column]) if column in given else _lacking(column)
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        raise RequestError(400, f"{name} must be a list")
    if name == "dataframe_records" or any(isinstance(row, dict) for row in given):
        return [row[column] if isinstance(row, dict) and column in row else _lacking(column) for row in given]
    return given


def _of_split(given: Any, column: str) -> list[Any]:
    if not isinstance(given, dict) or not isinstance(given.get("data"), list):
        raise RequestError(400, "dataframe_split must be an object with columns and data")
    columns = given.get("columns", [column])
    if not isinstance(columns, list) or column not in columns:
        _lacking(column)
    place = columns.index(column)
    if not all(isinstance(row, list) and len(row) == len(columns) for row in given["data"]):
        raise RequestError(400, f"dataframe_split: each row of data must be a list of {len(columns)} values")
    return [row[place] for row in given["data"]]


def _of_csv(text: str, column: str) -> list[Any]:
    if column == "tokens":
        raise RequestError(415, "lists of tokens do not fit into CSV; send JSON")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise RequestError(400, f"the body is not CSV: {error}") from None
    return [row[column] if row.get(column) is not None else _lacking(column) for row in rows]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _lacking(column: str) -> Any:
    raise RequestError(400, f"the input lacks the column '{column}'")


def _checked(value: Any, column: str) -> Any:
    if column != "tokens":
        if isinstance(value, list) and len(value) == 1:  # inputs: [["text"], ...], a tensor of one column
            value = value[0]
        if not isinstance(value, str):
            raise RequestError(400, f"each value of '{column}' must be a string")
    elif not (isinstance(value, list) and value and all(isinstance(one, str) and one.strip() for one in value)):
        raise RequestError(400, f"each value of '{column}' must be a list of tokens")
    try:
        "".join(value).encode()
    except UnicodeEncodeError:
        raise RequestError(400, f"a value of '{column}' holds half a character (a lone surrogate)") from None
    return value
