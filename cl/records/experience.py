"""One batch of the stream, and whether it is fit to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from cl.records.record import Record

SPLITS = ("train", "validation", "test")
WEIGHT = "sample_weight"
"""Column of stored rows with what each counts in training; where it is missing or empty, once."""
ANNOTATED = "annotated"
"""Column of stored rows with the entity types that were looked for in them; where it is missing or empty, all were."""

DESCRIPTIONS = "data.descriptions of cl.yaml"
"""The source of an experience whose rows are descriptions of labels."""


class Experience(Record):
    """One batch of the stream as it was written: immutable but for rows forgotten, corrected or relabelled."""

    id: str = Field(description="Position in the stream and name, such as 0003-month-3; sortable")
    name: str
    source: str = Field(description="Where it was read from, without credentials")
    ingested_at: datetime
    rows: dict[str, int] = Field(description="Split -> number of rows")
    labels: dict[str, int] = Field(description="Label (text) or entity type (tokens) -> number of rows")
    untrained: list[str] = Field(
        default_factory=list, description="Labels or entity types that no training row of a weight above 0 has"
    )
    annotated: list[str] | None = Field(
        default=None, description="Entity types that were looked for in its rows; None: all that there are"
    )
    quarantined: dict[str, int] = Field(default_factory=dict, description="Reason -> quarantined rows")
    duplicates: int = Field(default=0, description="Duplicate rows within this batch")
    seen: int = Field(default=0, description="Rows that an earlier experience already contained")
    leaks: int = Field(default=0, description="Rows of a given validation or test split whose text is also in training")
    stayed_out: int = Field(default=0, description="Rows that were forgotten on purpose before, and came back")
    corrected: int = Field(default=0, description="Rows that replace rows of earlier experiences")
    replaced: int = Field(default=0, description="Rows that were replaced later, by corrected ones")
    forgotten: int = Field(default=0, description="Rows that were removed later, by `cl forget`")
    retired: int = Field(default=0, description="Rows whose label was retired later, by `cl labels retire`")
    digest: str = Field(description="SHA-256 over its Parquet files")

    @property
    def total(self) -> int:
        """Number of rows in all splits."""
        return sum(self.rows.values())

    @property
    def describes_labels(self) -> bool:
        """Whether its rows are descriptions of labels, which all are for training."""
        return self.source == DESCRIPTIONS

    @property
    def quarantined_rows(self) -> int:
        """Number of quarantined rows, for any reason."""
        return sum(self.quarantined.values())


def unbacked_classes(experiences: Sequence[Experience]) -> dict[str, list[str]]:
    """Return experience -> the classes of its rows that no training row of it or of any other experience has."""
    backed = {label for experience in experiences for label in experience.labels if label not in experience.untrained}
    return {
        experience.id: missing
        for experience in experiences
        if (missing := [label for label in experience.untrained if label not in backed])
    }


class Validation(Record):
    """Whether a batch is fit to learn from."""

    passed: bool
    problems: list[str] = Field(default_factory=list)
