"""Check raw rows: split a chunk into rows in canonical columns and broken rows with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from cl.config import Config, parse
from cl.config.data import ID
from cl.errors import SourceError
from cl.ingestion.bounds import refuse_columns
from cl.ingestion.former_labels import under_todays_names
from cl.ingestion.internal_columns import SPLIT, UNANSWERED, UNREADABLE, InternalColumn
from cl.ingestion.label_cells import one_spelling, read_label_cells
from cl.ingestion.periods import as_iso, split_into_periods
from cl.ingestion.sources import SPLIT_NAMES
from cl.ingestion.tag_schemes import is_bio2
from cl.ingestion.values import (
    as_label,
    as_text,
    as_weights,
    as_words,
    can_encode,
    one_line,
    raw_json,
    to_json,
    to_readable,
)
from cl.records import ANNOTATED, WEIGHT
from cl.stores.data.label_changes import LabelHistory
from cl.tasks import Task

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
    require_columns(chunk, config, task, origin=origin)
    config = config if has_ids(chunk, config) else _without_id_column(config)
    other: dict[str, np.ndarray] = {}
    if _is_tokens(task):
        rows, composed = _compose(_token_rows(chunk, config))
    else:
        labels, other = read_label_cells(chunk[config.data.label])
        rows, composed = _compose(_text_rows(chunk, config, one_spelling(labels, spellings)))
    rows, ended = under_todays_names(rows, changed)
    other |= ended
    reasons = _find_reasons(rows, chunk, config, other)
    broken = np.array([reason is not None for reason in reasons], dtype=bool)
    good = rows[~broken]
    if config.data.id is None:
        good = good.assign(id=_hash_ids(good[list(task.columns)]))
    bad = _bad_rows(rows["id"][broken], [reason for reason in reasons if reason], raw_rows(chunk[broken]))
    return CheckedRows(good, pd.concat([lost, bad]).sort_index() if len(lost) else bad, composed)


def require_columns(chunk: pd.DataFrame, config: Config, task: Task, *, origin: str, labelled: bool = True) -> None:
    """Check that every column that the configuration names is present; unlabelled, only the input columns.

    Raises:
        SourceError: columns are missing (the message names them, the columns present, and the keys to set), or a name
            occurs twice.
    """
    data = config.data
    refuse_columns(origin, list(chunk.columns))
    inputs = ("tokens", "tags") if _is_tokens(task) else ("text", "label")
    keys = (*inputs, "id", "date", "weight", "group_by", "split_column") if labelled else (inputs[0], "id")
    wanted = [(key, getattr(data, key)) for key in keys if not (labelled and key == "id" and data.id == ID)]
    wanted += [("keep", name) for name in data.keep if labelled]
    wanted += [("join", name) for name in data.join if not _is_tokens(task)]
    missing = {key: name for key, name in wanted if name is not None and name not in chunk}
    if missing:
        names = ", ".join(f"'{name}'" for name in missing.values())
        settings = [f"data.{key}" for key in missing]
        remedy = f"set {' and '.join(settings)} in cl.yaml"
        if "id" in missing:
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
    if _is_tokens(task) or config.data.numeric_labels == "accept" or config.data.label not in chunk:
        return
    labels = {label for label in read_label_cells(chunk[config.data.label])[0] if label is not None}
    if labels and pd.to_numeric(pd.Series(sorted(labels)), errors="coerce").notna().all():
        examples = one_line(", ".join(sorted(labels)[:3]))
        raise SourceError(
            f"{origin}: column '{config.data.label}' holds only numbers ({examples}); "
            "if they are labels, set data.numeric_labels: accept"
        )


def raw_rows(chunk: pd.DataFrame) -> list[str]:
    """Return each row as JSON text, as the source delivered it."""
    return raw_json(chunk.drop(columns=list(InternalColumn), errors="ignore"))


def count_reasons(reasons: dict[str, int]) -> str:
    """Return counts as text, largest first: ``missing label 30, too long 2``."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count}" for reason, count in ordered)


def _is_tokens(task: Task) -> bool:
    return task.name == "token_classification"


def _empty_rows(task: Task, config: Config) -> pd.DataFrame:
    names = ("tokens", "tags") if _is_tokens(task) else ("text", "label")
    further = (*config.data.keep, *([WEIGHT] if config.data.weight else []))
    further += (ANNOTATED,) if config.data.annotated else ()
    return pd.DataFrame({name: pd.Series(dtype=object) for name in ("id", *names, *further, "date")})


def _bad_rows(ids: pd.Series, reasons: Any, rows: Any) -> pd.DataFrame:
    columns = {"id": list(map(to_readable, ids)), "reason": reasons, "row": list(map(to_readable, rows))}
    return pd.DataFrame(columns, dtype=object).set_index(ids.index)


def input_rows(chunk: pd.DataFrame, config: Config, task: Task) -> pd.DataFrame:
    """Return id, text or tokens, and date of rows that need no label, as input for a model."""
    if _is_tokens(task):
        return _canonical_frame(chunk, config, {"tokens": list(map(as_words, chunk[config.data.tokens].tolist()))})
    return _canonical_frame(chunk, config, {"text": _join_texts(chunk, config)})


def _text_rows(chunk: pd.DataFrame, config: Config, labels: list[str | None]) -> pd.DataFrame:
    columns = {"text": _join_texts(chunk, config), "label": labels}
    return _canonical_frame(chunk, config, columns | _further_columns(chunk, config))


def _further_columns(chunk: pd.DataFrame, config: Config) -> dict[str, list[Any]]:
    """Return the columns that are kept as text, and the weights; NaN: it is none."""
    kept: dict[str, list[Any]] = {name: list(map(to_readable, as_text(chunk[name]))) for name in config.data.keep}
    return kept if config.data.weight is None else {**kept, WEIGHT: as_weights(chunk[config.data.weight])}


def _join_texts(chunk: pd.DataFrame, config: Config) -> list[str | None]:
    texts = as_text(chunk[config.data.text])
    for name in reversed(config.data.join):
        prefixes = as_text(chunk[name])
        texts = [f"{prefix}. {text}" if prefix and text else text for prefix, text in zip(prefixes, texts, strict=True)]
    return texts


def _token_rows(chunk: pd.DataFrame, config: Config) -> pd.DataFrame:
    tokens, tags = (list(map(as_words, chunk[name].tolist())) for name in (config.data.tokens, config.data.tags))
    columns: dict[str, list[Any]] = {"tokens": tokens, "tags": tags} | _further_columns(chunk, config)
    if config.data.annotated:
        columns[ANNOTATED] = [config.data.annotated] * len(chunk)
    return _canonical_frame(chunk, config, columns)


def _compose(rows: pd.DataFrame) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return the rows with their labels or tags composed, and those that had to be."""
    name = "label" if "label" in rows else "tags"
    written = rows[name].tolist()
    cells = [[cell] if isinstance(cell, str) else cell or [] for cell in written]
    changed = {label: as_label(label) for label in set().union(*cells) if as_label(label) != label}
    if not changed:
        return rows, frozenset()
    composed = [[changed.get(label, label) for label in cell] or None for cell in cells]
    values = [cell[0] if cell and name == "label" else cell for cell in composed]
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
    rows: pd.DataFrame, chunk: pd.DataFrame, config: Config, no_label: Mapping[str, np.ndarray]
) -> list[str | None]:
    """Return why each row is broken: the first reason that applies, in the order of the checks below."""
    data = config.data
    texts = rows["text"] if "text" in rows else rows["tokens"].map(_join_words)
    labels = rows["label"] if "label" in rows else rows["tags"].map(_join_words)
    checks = {"not valid UTF-8": _undecodable([texts, labels, rows["id"], rows["date"]])}
    if data.id is not None:
        checks["missing id"] = rows["id"].isna().to_numpy()
    if UNANSWERED in chunk:
        checks["no answer is logged under this id"] = chunk[UNANSWERED].to_numpy(dtype=bool)
    checks["missing text"] = texts.isna().to_numpy()
    checks |= no_label
    checks["missing label"] = labels.isna().to_numpy()
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
    if "tags" in rows:
        unequal = [len(a or ()) != len(b or ()) for a, b in zip(rows["tokens"], rows["tags"], strict=True)]
        checks["tokens and tags differ in length"] = np.array(unequal)
        checks["not BIO2"] = np.array([not is_bio2(tags or []) for tags in rows["tags"]])
        if ANNOTATED in rows:
            checks["an entity of a type that data.annotated does not name"] = np.array(
                [
                    not {tag[2:] for tag in tags or [] if tag != "O"} <= set(types)
                    for tags, types in zip(rows["tags"], rows[ANNOTATED], strict=True)
                ]
            )
    lengths = _lengths(texts)
    checks["too short"] = lengths < data.min_chars
    checks["too long"] = lengths > data.max_chars
    checks |= _long_names(rows, chunk, config)
    return [None if index < 0 else list(checks)[index] for index in _first_true(list(checks.values()))]


def _long_names(rows: pd.DataFrame, chunk: pd.DataFrame, config: Config) -> dict[str, np.ndarray]:
    """Return the checks of what is stored with a text, by their reasons."""
    if "label" in rows:
        labels = _lengths(rows["label"])
    else:
        labels = np.array([max(map(len, tags or [""])) for tags in rows["tags"]], dtype=int)
    checks = {
        "label too long": labels > MAX_NAME_CHARS,
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


def _join_words(words: list[str] | None) -> str | None:
    return " ".join(words) if words else None


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
    names = {"id": "id", "text": "text", "label": "label", "tokens": "tokens", "tags": "tags"}
    unset: dict[str, object] = {"join": [], "group_by": None, "period": None, "split_column": None}
    unset |= {"keep": [], "where": None, "date_format": None, "weight": None}  # the log has no other columns
    raw["gates"] = []
    raw["data"] |= {**names, **unset, "date": config.data.date and "date"}
    return parse(raw, where="cl.yaml")
