"""What a cell of a raw table holds, whatever its type and encoding: a text, a list of words, or nothing."""

from __future__ import annotations

import json
import math
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

quoted = json.encoder.encode_basestring
to_json = json.JSONEncoder(
    ensure_ascii=False, default=lambda value: value.tolist() if isinstance(value, np.ndarray) else str(value)
).encode


def as_text(values: pd.Series) -> list[str | None]:
    """Return values as texts without blanks at the ends; None where nothing is left or it is a list."""
    return [(value.strip() or None) if type(value) is str else _scalar(value) for value in values.tolist()]


def as_words(value: Any) -> list[str] | None:
    """Return a list of words from a list, a JSON list, or words between blanks; None where there is none."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            value = value.split()
    elif isinstance(value, str):
        value = value.split()
    if not isinstance(value, (list, tuple, np.ndarray)):
        return None
    words = as_text(pd.Series(list(value), dtype=object))
    return [word for word in words if word is not None] if len(words) and None not in words else None


def raw_json(rows: pd.DataFrame) -> list[str]:
    """Return each row as JSON text, readable whatever its encoding was."""
    columns = [[f"{quoted(str(name))}: {_cell(value)}" for value in rows[name].tolist()] for name in rows.columns]
    texts = ["{" + ", ".join(cells) + "}" for cells in zip(*columns, strict=True)]
    return texts if can_encode("".join(texts)) else [str(to_readable(text)) for text in texts]


def to_readable(text: str | None) -> str | None:
    """Return a text that can be stored as UTF-8: stray bytes are spelt out."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def can_encode(text: str) -> bool:
    """Tell whether a text is UTF-8; one with bytes that could not be decoded is not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _cell(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return "null" if missing else to_json(value)


def _scalar(value: Any) -> str | None:
    if value is None or isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape").strip() or None
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value).strip() or None
