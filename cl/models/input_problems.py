"""What is wrong with an input, so that it costs its row and not the batch: in pyfunc, and in MLflow's protocol."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any


def input_problem(value: Any, column: str) -> str | None:
    """Return why an input, a text or a list of tokens, cannot be answered; None: it can.

    >>> input_problem(None, "text"), input_problem(3, "text"), input_problem(["my", None], "tokens")
    ('text is missing', 'text is not text', 'token 1 is missing')
    """
    if _is_missing(value):
        return f"{column} is missing"
    if column != "tokens":
        return None if isinstance(value, str) else f"{column} is not text"
    if not isinstance(value, Collection) or isinstance(value, str | bytes):
        return "tokens is not a list"
    return next((f"token {index} is missing" for index, token in enumerate(value) if _is_missing(token)), None)


def _is_missing(value: Any) -> bool:
    if value is None or isinstance(value, str | list):
        return value is None

    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))
