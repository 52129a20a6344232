"""One batch of the stream, and whether it is fit to learn from."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cl.records.record import Record

SPLITS = ("train", "validation", "test")


class Experience(Record):
    """One batch of the stream as it was written: immutable once ingested, but for rows that must be forgotten."""

    id: str = Field(description="Sortable: its place in the stream and its name, such as 0003-month-3")
    name: str
    source: str = Field(description="What it was read from, without credentials")
    ingested_at: datetime
    rows: dict[str, int] = Field(description="Rows of each split")
    labels: dict[str, int] = Field(description="Rows of each label (text) or entity type (tokens)")
    quarantined: dict[str, int] = Field(default_factory=dict, description="Reason -> rows set aside")
    duplicates: int = Field(default=0, description="Rows that stood twice in this batch")
    seen: int = Field(default=0, description="Rows that an earlier experience already held")
    forgotten: int = Field(default=0, description="Rows that were removed later, by `cl forget`")
    digest: str = Field(description="SHA-256 over its Parquet files")

    @property
    def total(self) -> int:
        """Rows in all splits together."""
        return sum(self.rows.values())

    @property
    def quarantined_rows(self) -> int:
        """Rows set aside, whatever the reason."""
        return sum(self.quarantined.values())


class Validation(Record):
    """Whether a batch as a whole is fit to learn from."""

    passed: bool
    problems: list[str] = Field(default_factory=list)
