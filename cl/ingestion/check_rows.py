"""Check raw rows: split a chunk into rows in canonical columns and broken rows with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from cl.config import Config, parse
from cl.config.data import ID, OWN_FIELDS
from cl.errors import SourceError
from cl.ingestion.bounds import refuse_columns
from cl.ingestion.cells import check_together, outside_of_text, read_cells
from cl.ingestion.conversations import split_conversations
from cl.ingestion.former_labels import under_todays_names
from cl.ingestion.internal_columns import SPLIT, UNANSWERED, UNPLACED, UNREADABLE, InternalColumn
from cl.ingestion.periods import as_iso, split_into_periods
from cl.ingestion.role_orders import refused_orders
from cl.ingestion.sources import SPLIT_NAMES
from cl.ingestion.values import (
    as_label,
    as_text,
    as_weights,
    can_encode,
    one_line,
    raw_json,
    to_json,
    to_readable,
)
from cl.records import ANNOTATED, WEIGHT
from cl.stores.data.label_changes import LabelHistory
from cl.tasks import Column, Schema, Task, ValueKind, as_one_line, in_order, names_in

NO_CHANGES = LabelHistory()
MAX_NAME_CHARS = 500
"""Maximum length of a label, a tag, an id, a date and a group; the server accepts no longer label either."""


@dataclass(frozen=True)
class CheckedRows:
    """Good rows in canonical columns and bad rows (id, reason, row), both with the chunk's index.

    ``composed``: labels and tags as they were written, where their letters had to be composed (Unicode's form NFC).
    """

    good: pd.DataFrame
    bad: pd.DataFrame
    composed: frozenset[str] = frozenset()


def check_rows(
    chunk: pd.DataFrame,
    config: Config,
    task: Task,
    *,
    origin: str = "input",
    spellings: Mapping[str, str] = MappingProxyType({}),
    changed: LabelHistory = NO_CHANGES,
) -> CheckedRows:
    """Return a chunk's good rows in canonical columns, and its broken rows with the reason.

    `cl.ingestion.ingest` checks what needs the other chunks: duplicate ids and contradicting labels.

    Args:
        chunk: the rows as they were read.
        config: the columns and the limits.
        task: which columns there are.
        origin: names the rows in messages.
        spellings: of labels of earlier experiences that are numbers or truth values (`known_spellings`).
        changed: the changes of the project's labels; rows with a former label are read under its name today.

    Raises:
        SourceError: a column that the configuration names is missing.
    """
    if UNREADABLE in chunk:
        lines = chunk[UNREADABLE]
        unreadable = lines[lines.notna()]
        no_ids = pd.Series([None] * len(unreadable), index=unreadable.index, dtype=object)
        lost = _bad_rows(no_ids, [row.reason for row in unreadable], [to_json(row.line) for row in unreadable])
        chunk = chunk[lines.isna()].drop(columns=UNREADABLE)
    else:
        lost = _bad_rows(pd.Series(dtype=object), "", ())
    if chunk.empty:
        return CheckedRows(_empty_rows(task, config), lost)
    raw, chunk = chunk, split_conversations(chunk, config, task.schema)
    require_columns(chunk, config, task, origin=origin)
    config = config if has_ids(chunk, config) else _without_id_column(config)
    read, problems = _read_columns(chunk, config, task.schema.columns, task.schema, spellings)
    rows, composed = _compose(_canonical_frame(chunk, config, read | _further_columns(chunk, config)), task.schema)
    answer = task.schema.answer
    rows, ended = under_todays_names(rows, answer, changed)
    problems[answer.name] |= ended | refused_orders(rows, config, task)
    reasons = _find_reasons(rows, chunk, config, task.schema, problems)
    broken = np.array([reason is not None for reason in reasons], dtype=bool)
    good = rows[~broken]
    if config.data.id is None:
        good = good.assign(id=_hash_ids(good[[*task.schema.input_names, answer.name]]))
    bad = _bad_rows(rows["id"][broken], [reason for reason in reasons if reason], raw_rows(raw[broken]))
    return CheckedRows(good, pd.concat([lost, bad]).sort_index() if len(lost) else bad, composed)


def require_columns(chunk: pd.DataFrame, config: Config, task: Task, *, origin: str, labelled: bool = True) -> None:
    """Check that every column that the configuration names is present; unlabelled, only the input columns.

    Raises:
        SourceError: columns are missing (the message names them, the columns present, and the keys to set), or a name
            occurs twice.
    """
    data = config.data
    refuse_columns(origin, list(chunk.columns))
    schema = task.schema
    needed = [column for column in (schema.columns if labelled else schema.inputs) if not column.optional]
    wanted = [(data.setting_of(column.name), data.name_of(column.name)) for column in needed]
    keys = ("id", "date", "weight", "group_by", "split_column") if labelled else ("id",)
    wanted += [(f"data.{key}", getattr(data, key)) for key in keys if not (labelled and key == "id" and data.id == ID)]
    wanted += [("data.keep", name) for name in data.keep if labelled]
    wanted += [("data.join", name) for name in data.join if _joins(schema)]
    missing = {key: name for key, name in wanted if name is not None and name not in chunk}
    if missing:
        names = ", ".join(f"'{name}'" for name in missing.values())
        remedy = f"set {' and '.join(missing)} in cl.yaml"
        if "data.id" in missing:
            remedy += ", or set data.id: null to make ids from the content"
        columns = "no column" if len(missing) == 1 else "no columns"
        raise SourceError(one_line(f"{origin}: {columns} {names}; there are: {list_columns(chunk)}; {remedy}"))


def list_columns(chunk: pd.DataFrame) -> str:
    """Return the names of an input's columns for a message, or ``none``."""
    names = [str(column) for column in chunk.columns if not isinstance(column, InternalColumn)]
    return one_line(", ".join(names)) or "none"


def has_ids(chunk: pd.DataFrame, config: Config) -> bool:
    """Return whether the rows bring ids; if not, these are made from the content."""
    return config.data.id is not None and (config.data.id != ID or ID in chunk)


def _without_id_column(config: Config) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"id": None})})


def refuse_numeric_labels(chunk: pd.DataFrame, config: Config, task: Task, *, origin: str) -> None:
    """Check that the labels of an input's first chunk are not all numbers, unless the configuration accepts them.

    Raises:
        SourceError: all labels are numbers; the message names the key that accepts them.
    """
    answer = task.schema.answer
    column = config.data.name_of(answer.name)
    if answer.kind not in (ValueKind.LABEL, ValueKind.LABELS):
        return
    if config.data.numeric_labels == "accept" or column not in chunk:
        return
    cells = read_cells(chunk[column], answer, task.schema, None)[0]
    labels = {label for cell in cells if cell is not None for label in names_in(answer.kind, cell)}
    if labels and pd.to_numeric(pd.Series(sorted(labels)), errors="coerce").notna().all():
        examples = one_line(", ".join(sorted(labels)[:3]))
        raise SourceError(
            f"{origin}: column '{column}' holds only numbers ({examples}); "
            "if they are labels, set data.numeric_labels: accept"
        )


def raw_rows(chunk: pd.DataFrame) -> list[str]:
    """Return each row as JSON text, as the source delivered it."""
    return raw_json(chunk.drop(columns=list(InternalColumn), errors="ignore"))


def count_reasons(reasons: dict[str, int]) -> str:
    """Return counts as text, largest first: ``missing label 30, too long 2``."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count}" for reason, count in ordered)


def _empty_rows(task: Task, config: Config) -> pd.DataFrame:
    further = (*config.data.keep, *([WEIGHT] if config.data.weight else []))
    further += (ANNOTATED,) if config.data.annotated else ()
    return pd.DataFrame({name: pd.Series(dtype=object) for name in ("id", *task.schema.names, *further, "date")})


def _bad_rows(ids: pd.Series, reasons: Any, rows: Any) -> pd.DataFrame:
    columns = {"id": list(map(to_readable, ids)), "reason": reasons, "row": list(map(to_readable, rows))}
    return pd.DataFrame(columns, dtype=object).set_index(ids.index)


def input_rows(chunk: pd.DataFrame, config: Config, task: Task) -> pd.DataFrame:
    """Return id, inputs and date of rows that need no answer, as input for a model; None: an input that is none."""
    read, _ = _read_columns(chunk, config, task.schema.inputs, task.schema, {})
    rows = _canonical_frame(chunk, config, read)
    for column in task.schema.inputs:
        if column.kind is ValueKind.SPAN and task.schema.text is not None:
            rows[column.name] = rows[column.name].mask(outside_of_text(rows[column.name], rows[task.schema.text]), None)
    return rows


def _read_columns(
    chunk: pd.DataFrame, config: Config, columns: Sequence[Column], schema: Schema, spellings: Mapping[str, str]
) -> tuple[dict[str, list[Any]], dict[str, dict[str, np.ndarray]]]:
    """Return the values of some columns, and of each which cells hold something else, by the reason."""
    values: dict[str, list[Any]] = {}
    problems: dict[str, dict[str, np.ndarray]] = {}
    for column in columns:
        name = config.data.name_of(column.name)
        cells = chunk[name] if name in chunk else pd.Series(None, index=chunk.index, dtype=object)
        if column is schema.input and _joins(schema):
            values[column.name], problems[column.name] = _join_texts(chunk, config, name), {}
        else:
            values[column.name], problems[column.name] = read_cells(cells, column, schema, spellings)
    return values, problems


def _joins(schema: Schema) -> bool:
    """Return whether further columns can be put before the input."""
    return schema.input is not None and schema.input.kind is ValueKind.TEXT and not schema.counts_characters


def _further_columns(chunk: pd.DataFrame, config: Config) -> dict[str, list[Any]]:
    """Return the columns that are kept as text, the weights (NaN: it is none), and what rows are annotated for."""
    kept: dict[str, list[Any]] = {name: list(map(to_readable, as_text(chunk[name]))) for name in config.data.keep}
    if config.data.annotated:
        kept[ANNOTATED] = [config.data.annotated] * len(chunk)
    return kept if config.data.weight is None else {**kept, WEIGHT: as_weights(chunk[config.data.weight])}


def _join_texts(chunk: pd.DataFrame, config: Config, name: str) -> list[str | None]:
    texts = as_text(chunk[name])
    for name in reversed(config.data.join):
        prefixes = as_text(chunk[name])
        texts = [f"{prefix}. {text}" if prefix and text else text for prefix, text in zip(prefixes, texts, strict=True)]
    return texts


def _compose(rows: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return the rows with their labels or tags composed, and those that had to be."""
    name, kind = schema.answer.name, schema.answer.kind
    if not kind.names_classes:
        return rows, frozenset()
    written = rows[name].tolist()
    cells = [[cell] if isinstance(cell, str) else cell or [] for cell in written]
    changed = {label: as_label(label) for label in set().union(*cells) if as_label(label) != label}
    if not changed:
        return rows, frozenset()
    composed = [[changed.get(label, label) for label in cell] for cell in cells]
    values = [
        new[0] if isinstance(old, str) else old and in_order(kind, new)
        for old, new in zip(written, composed, strict=True)
    ]
    return rows.assign(**{name: pd.Series(values, dtype=object, index=rows.index)}), frozenset(changed)


def _canonical_frame(chunk: pd.DataFrame, config: Config, columns: Mapping[str, list[Any]]) -> pd.DataFrame:
    empty: list[str | None] = [None] * len(chunk)
    all_columns = {
        "id": as_text(chunk[config.data.id]) if config.data.id else empty,
        **columns,
        "date": _dates(chunk, config) if config.data.date in chunk else empty,  # a question needs none
    }
    series = {name: pd.Series(values, dtype=object, index=chunk.index) for name, values in all_columns.items()}
    return pd.DataFrame(series)


def _dates(chunk: pd.DataFrame, config: Config) -> list[str | None]:
    """Return dates in ISO 8601, and as they are where they are not in the stated format."""
    dates = chunk[config.data.date]
    return [iso or text for iso, text in zip(as_iso(dates, config.data.date_format), as_text(dates), strict=True)]


def _hash_ids(rows: pd.DataFrame) -> list[str]:
    """Return an id for each row: a hash of its input and its label, its only columns."""
    columns = [rows[name].tolist() for name in rows.columns]
    texts = map(to_json, zip(*columns, strict=True))
    return [hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest() for text in texts]


def _find_reasons(
    rows: pd.DataFrame,
    chunk: pd.DataFrame,
    config: Config,
    schema: Schema,
    problems: Mapping[str, Mapping[str, np.ndarray]],
) -> list[str | None]:
    """Return why each row is broken: the first reason that applies, in the order of the checks below."""
    data = config.data
    shown = {column.name: _shown(rows[column.name], column) for column in schema.columns}
    checks = {"not valid UTF-8": _undecodable([*shown.values(), rows["id"], rows["date"]])}
    if data.id is not None:
        checks["missing id"] = rows["id"].isna().to_numpy()
    if UNANSWERED in chunk:
        checks["no answer is logged under this id"] = chunk[UNANSWERED].to_numpy(dtype=bool)
    if UNPLACED in chunk:
        checks["an answer that is not exactly once in its text"] = chunk[UNPLACED].to_numpy(dtype=bool)
    for column in schema.columns:
        checks |= problems[column.name]
        if not column.optional:
            checks[_missing(column, schema)] = rows[column.name].isna().to_numpy()
    if data.date is not None and data.date_format is not None:
        pairs = zip(as_iso(chunk[data.date], data.date_format), rows["date"], strict=True)
        checks[f"date not in the form {data.date_format}"] = np.array([not iso and bool(text) for iso, text in pairs])
    if data.weight is not None:
        checks["weight is not a number of 0 or more"] = rows[WEIGHT].isna().to_numpy()
    if data.period is not None:
        checks["missing or unreadable date"] = np.array(
            [period is None for period in split_into_periods(rows["date"], data.period)]
        )
    if data.group_by is not None:
        checks["missing group"] = np.array([group is None for group in as_text(chunk[data.group_by])])
    split = split_column(chunk, config)
    if split is not None:
        checks["unknown split"] = np.array([name is None for name in split_names(chunk[split])])
    checks |= check_together(rows, schema)
    for column in schema.inputs:
        if column.kind.is_read:
            of = "" if schema.input else f"{column.name} "
            lengths = _lengths(shown[column.name])
            checks[f"{of}too short"] = lengths < data.min_chars
            checks[f"{of}too long"] = lengths > data.max_chars
    checks |= _long_names(rows, chunk, config, schema)
    return [None if index < 0 else list(checks)[index] for index in _first_true(list(checks.values()))]


def _missing(column: Column, schema: Schema) -> str:
    """Return the reason of a row that lacks a column."""
    return "missing label" if column is schema.answer and column.kind.names_classes else f"missing {column.name}"


def _shown(values: pd.Series, column: Column) -> pd.Series:
    """Return the texts in values, joined; None where there is no value."""
    return values if not column.kind.is_list else values.map(lambda value: value and as_one_line(column.kind, value))


def _longest(values: pd.Series) -> np.ndarray:
    """Return the number of characters of the longest text in each value: a text, a list of them, or turns."""
    parts = ([value] if isinstance(value, str) else value or [""] for value in values)
    lengths = ([len(part if isinstance(part, str) else part["content"]) for part in own] for own in parts)
    return np.array(list(map(max, lengths)), dtype=int)


def _long_names(rows: pd.DataFrame, chunk: pd.DataFrame, config: Config, schema: Schema) -> dict[str, np.ndarray]:
    """Return the checks of what is stored with a text, by their reasons."""
    checks: dict[str, np.ndarray] = {}
    if schema.answer.kind.names_classes:
        checks["label too long"] = _longest(rows[schema.answer.name]) > MAX_NAME_CHARS
    for column in schema.columns:
        if column.kind in (ValueKind.TEXTS, ValueKind.MESSAGES):
            checks[f"{column.name} too long"] = _longest(rows[column.name]) > config.data.max_chars
    checks |= {
        "id too long": _lengths(rows["id"]) > MAX_NAME_CHARS,
        "date too long": _lengths(rows["date"]) > MAX_NAME_CHARS,
    }
    if config.data.group_by is not None:
        checks["group too long"] = _lengths(as_text(chunk[config.data.group_by])) > MAX_NAME_CHARS
    for name in config.data.keep:
        checks[f"'{name}' too long"] = _lengths(rows[name]) > config.data.max_chars
    return checks


def _lengths(texts: Iterable[str | None]) -> np.ndarray:
    return np.array([len(text) if text else 0 for text in texts], dtype=int)


def split_column(chunk: pd.DataFrame, config: Config) -> Hashable | None:
    """Return the column that assigns each row to a split: the source's own, or the configured one."""
    return SPLIT if SPLIT in chunk else config.data.split_column


def split_names(values: pd.Series) -> list[str | None]:
    """Return train, validation or test for each value of a split column; None for any other value."""
    return [SPLIT_NAMES.get((value or "").lower()) for value in as_text(values)]


def _first_true(masks: list[np.ndarray]) -> list[int]:
    table = np.column_stack(masks)
    result: list[int] = np.where(table.any(axis=1), table.argmax(axis=1), -1).tolist()
    return result


def _undecodable(columns: list[pd.Series]) -> np.ndarray:
    broken = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        values = [value or "" for value in column]
        if not can_encode("".join(values)):
            broken |= np.array([not can_encode(value) for value in values])
    return broken


def canonical_columns(config: Config) -> Config:
    """Return the configuration for logged rows: canonical column names, and nothing to group, join or keep."""
    raw = config.model_dump(mode="json", by_alias=True)
    names = {"id": "id", "columns": {}, **{name: name for name in OWN_FIELDS}}
    unset: dict[str, object] = {"join": [], "group_by": None, "period": None, "split_column": None}
    unset |= {"keep": [], "where": None, "date_format": None, "weight": None}  # the log has no other columns
    raw["gates"] = []
    raw["data"] |= {**names, **unset, "date": config.data.date and "date"}
    return parse(raw, where="cl.yaml")
