"""Records of rows that were replaced by corrected ones: which, when, and by whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import Field

from cl.records import Record
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder


class Correction(Record):
    """The record of corrected rows, stored in data/ and so in every later version of it."""

    number: int
    corrected_at: datetime
    by: str
    experience: str = Field(description="The experience that holds the corrected rows")
    rows: dict[str, dict[str, int]] = Field(description="Experience -> split -> rows that were replaced")
    ids: list[str] = Field(description="Fingerprint of each replaced row's id, in hexadecimal")
    contents: list[str] = Field(
        default_factory=list,
        description="Fingerprint of each replaced row's text and label, in the order of the ids; older ones: none",
    )

    @property
    def total(self) -> int:
        """The number of rows that were replaced."""
        return sum(count for splits in self.rows.values() for count in splits.values())


def read_corrections(project: ProjectFolder) -> list[Correction]:
    """Return all records, oldest first."""
    return [Correction.model_validate_json(path.read_bytes()) for path in sorted(_folder(project).glob("*.json"))]


def corrected_since(project: ProjectFolder, number: int) -> set[int]:
    """Return the fingerprints of the ids that were corrected after a number of corrections."""
    return {int(id, 16) for past in read_corrections(project)[number:] for id in past.ids}


def write_correction(project: ProjectFolder, correction: Correction) -> None:
    """Write a record to data/."""
    write_text(_folder(project) / f"{correction.number:04d}.json", correction.model_dump_json(indent=1))


def count_replaced(corrections: Iterable[Correction]) -> Mapping[str, int]:
    """Return experience -> rows that were replaced."""
    count: Counter[str] = Counter()
    for correction in corrections:
        count.update({id: sum(splits.values()) for id, splits in correction.rows.items()})
    return count


def _folder(project: ProjectFolder) -> Path:
    return project.data / "corrections"
