"""A function of a project's owner, as a rule names it."""

from __future__ import annotations

import pandas as pd


def by_channel(rows: pd.DataFrame) -> pd.Series:
    return rows["channel"]
