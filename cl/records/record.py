"""Base class of records."""

from __future__ import annotations

import html

from pydantic import BaseModel, ConfigDict

SHOWN = 300
"""Maximum characters of a value that a notebook shows."""


class Record(BaseModel):
    """Base class of all records: immutable, compared by value, saved as JSON, shown as a table in notebooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def _repr_html_(self) -> str:
        rows = []
        for name, value in self:
            text = str(value)
            text = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}\u2026"
            rows.append(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>")
        return f"<table><caption>{type(self).__name__}</caption>{''.join(rows)}</table>"
