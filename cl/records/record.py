"""What every record is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Base of all records: immutable, compared by value, saved as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")
