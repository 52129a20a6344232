"""Assign dates to periods: 2015-03-07 lies in 2015, 2015-Q1, 2015-03, 2015-W10 and 2015-03-07."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache

import pandas as pd

from cl.config import Period
from cl.ingestion.values import as_text

_FORMATS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "quarter": "%Y-Q", "year": "%Y"}

_YEAR = re.compile(r"[0-9]{4}")


def as_iso(dates: pd.Series, date_format: str | None) -> list[str | None]:
    """Return dates in ISO 8601; with a format, None for a text that is not written in it.

    Args:
        dates: the cells.
        date_format: as of `datetime.strptime`; None: the texts as they are.
    """
    texts = as_text(dates)
    if date_format is None:
        return texts
    return [
        text if text is None or isinstance(value, date) else _parse(text, date_format)
        for value, text in zip(dates.tolist(), texts, strict=True)
    ]


@lru_cache(maxsize=100_000)
def _parse(text: str, date_format: str) -> str | None:
    try:
        time = datetime.strptime(text, date_format)
    except ValueError:
        return None
    has_time = time.tzinfo is not None or time.time() != time.min.time()
    return time.isoformat() if has_time else time.date().isoformat()


def split_into_periods(dates: Iterable[str | None], period: Period) -> list[str | None]:
    """Return the period of each date, formatted so that periods sort as text; None for a value that is not a date.

    Dates are ISO 8601, including a year or a month alone; dates with a time zone are converted to UTC first. A date is
    written out, year first: words that pandas reads as the present, such as ``today``, are no dates.
    """
    texts = pd.Series([text if text and _YEAR.match(text) else None for text in dates], dtype=object)
    times = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    names = times.dt.strftime(_FORMATS[period])
    if period == "quarter":
        names = names + times.dt.quarter.astype("Int64").astype("string")
    return [None if missing else str(name) for name, missing in zip(names, times.isna(), strict=True)]
