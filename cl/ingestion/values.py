"""Convert raw cells of any type and encoding to a text, a list of words, or None."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import date, datetime
from pathlib import Path
from typing import Any

from cl.heavy import np, pd

MESSAGE_CHARS = 400
PATH_CHARS = 300
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""A number as programs write it: Python's `float` also reads words, and digits of other scripts."""
UNPRINTABLE = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Unicode's categories of control characters, surrogates, and separators of lines."""

quoted = json.encoder.encode_basestring
to_json = json.JSONEncoder(
    ensure_ascii=False, default=lambda value: value.tolist() if isinstance(value, np.ndarray) else str(value)
).encode


def as_text(values: pd.Series) -> list[str | None]:
    """Return values as stripped texts; None for empty values and lists."""
    return [(value.strip() or None) if type(value) is str else _scalar_text(value) for value in values.tolist()]


def as_label(text: str) -> str:
    """Return a label with its letters composed (Unicode's form NFC): é is one class, however it is written."""
    return unicodedata.normalize("NFC", text)


def as_words(value: Any) -> list[str] | None:
    """Return a list of words from a list, a JSON list, or whitespace-separated text; None if it has no words."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = value.split()
    elif isinstance(value, str):
        value = value.split()
    if not isinstance(value, (list, tuple, np.ndarray)):
        return None
    words = as_text(pd.Series(list(value), dtype=object))
    return [word for word in words if word is not None] if len(words) and None not in words else None


def as_weights(values: pd.Series) -> list[float]:
    """Return values as weights: finite numbers of 0 or more, 1 for empty values, and NaN for all others.

    >>> as_weights(pd.Series(["0.5", 3, "", None, "-1", "inf", "nan", "2,5", [1]], dtype=object))
    [0.5, 3.0, 1.0, 1.0, nan, nan, nan, nan, nan]
    """
    nested = [isinstance(value, (list, tuple, dict, set, np.ndarray)) for value in values.tolist()]
    return [math.nan if list_ else _weight(text) for list_, text in zip(nested, as_text(values), strict=True)]


def raw_json(rows: pd.DataFrame) -> list[str]:
    """Return each row as JSON text that can be encoded as UTF-8."""
    columns = [[f"{quoted(str(name))}: {_cell_json(value)}" for value in rows[name].tolist()] for name in rows.columns]
    texts = ["{" + ", ".join(cells) + "}" for cells in zip(*columns, strict=True)]
    return texts if can_encode("".join(texts)) else [str(to_readable(text)) for text in texts]


def to_readable(text: str | None) -> str | None:
    """Return a text that can be stored as UTF-8; undecodable bytes become backslash escapes."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str, limit: int = MESSAGE_CHARS) -> str:
    """Return a text for a message: one line of at most ``limit`` characters.

    >>> one_line("caf\\udce9.csv\\nis odd")
    'caf\\\\udce9.csv is odd'
    """
    shown = printable(" ".join(text[: 4 * limit].split()))
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def printable(text: str) -> str:
    """Return a text with line breaks, other control characters and undecodable bytes as escapes."""
    return "".join(
        letter.encode("unicode_escape").decode() if unicodedata.category(letter) in UNPRINTABLE else letter
        for letter in text
    )


def readable_path(path: Path) -> str:
    """Return a path for a message or a record, even if its name is not valid UTF-8; of a long one, the end."""
    shown = printable(str(path))
    return shown if len(shown) <= PATH_CHARS else f"...{shown[3 - PATH_CHARS :]}"


def describe_error(error: BaseException) -> str:
    """Return an error of a library as one line: what it says, and its type if that is not plain."""
    text = str(error)
    return one_line(
        text if isinstance(error, OSError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
    )


def can_encode(text: str) -> bool:
    """Return whether a text can be encoded as UTF-8; a text with undecodable bytes cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _weight(text: str | None) -> float:
    if text is None:
        return 1.0
    weight = float(text) if NUMBER.fullmatch(text) else math.nan
    return abs(weight) if weight >= 0 and math.isfinite(weight) else math.nan  # abs: of -0.0


def _cell_json(value: Any) -> str:
    if type(value) is str:
        return quoted(value)
    missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
    try:
        return "null" if missing else to_json(value)
    except (RecursionError, TypeError, ValueError):  # deeply nested, or keys of another type
        return quoted(f"{type(value).__name__} that cannot be written as JSON")


def _scalar_text(value: Any) -> str | None:
    if value is None or isinstance(value, (list, tuple, dict, set, np.ndarray)):
        return None
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode("utf-8", "surrogateescape").strip() or None
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value).strip() or None
