"""Convert raw cells of any type and encoding to a text, a list of words, or None."""

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
    """Return values as stripped texts; None for empty values and lists."""
    return [(value.strip() or None) if type(value) is str else _scalar_text(value) for value in values.tolist()]


def as_words(value: Any) -> list[str] | None:
    """Return a list of words from a list, a JSON list, or whitespace-separated text; None if it has no words."""
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
    """Return each row as JSON text that can be encoded as UTF-8."""
    columns = [[f"{quoted(str(name))}: {_cell_json(value)}" for value in rows[name].tolist()] for name in rows.columns]
    texts = ["{" + ", ".join(cells) + "}" for cells in zip(*columns, strict=True)]
    return texts if can_encode("".join(texts)) else [str(to_readable(text)) for text in texts]


def to_readable(text: str | None) -> str | None:
    """Return a text that can be stored as UTF-8; undecodable bytes become backslash escapes."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def can_encode(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8; a text with undecodable bytes cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _cell_json(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    return "null" if missing else to_json(value)


def _scalar_text(value: Any) -> str | None:
    if value is None or isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape").strip() or None
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value).strip() or None
