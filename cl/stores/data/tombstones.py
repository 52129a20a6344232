"""Records of removed rows that do not repeat them: counts, who, when, why, and salted hashes of the ids.

The hashes keep a forgotten row from coming back when its source is read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import numpy as np
from pydantic import Field

from cl.records import Record
from cl.stores.files import write_text
from cl.stores.project_folder import ProjectFolder


class RemovalRecord(Record):
    """The record of one `cl forget`, stored in data/ and so in every later version of it."""

    number: int
    forgotten_at: datetime
    by: str
    why: str
    rows: dict[str, dict[str, int]] = Field(description="Experience -> split -> rows removed")
    quarantined: int = Field(description="Rows removed from quarantine")
    answers: int = Field(description="Rows removed from the prediction log")
    salt: str = Field(description="Salt of the hashes, in hexadecimal")
    ids: list[str] = Field(description="BLAKE2b, keyed with the salt, of each id's fingerprint")

    @property
    def total(self) -> int:
        """The number of rows removed from experiences."""
        return sum(count for splits in self.rows.values() for count in splits.values())


def read_removals(project: ProjectFolder) -> list[RemovalRecord]:
    """Return all records, oldest first."""
    return [RemovalRecord.model_validate_json(path.read_bytes()) for path in sorted(_folder(project).glob("*.json"))]


def write_removal(project: ProjectFolder, removal: RemovalRecord) -> None:
    """Write a record to data/."""
    write_text(_folder(project) / f"{removal.number:04d}.json", removal.model_dump_json(indent=1))


def salt_ids(fingerprints: Iterable[int], salt: str) -> list[str]:
    """Return the salted hash of each fingerprint of an id (`cl.stores.data.fingerprints.hash_texts`)."""
    key = bytes.fromhex(salt)
    return [
        hashlib.blake2b(int(value).to_bytes(8, "little"), key=key, digest_size=12).hexdigest() for value in fingerprints
    ]


def forgotten_mask(past: list[RemovalRecord], fingerprints: np.ndarray) -> np.ndarray:
    """Return which ids, given as fingerprints, were removed before."""
    forgotten = np.zeros(len(fingerprints), dtype=bool)
    for salt in {removal.salt for removal in past}:
        removed = {id for removal in past if removal.salt == salt for id in removal.ids}
        forgotten |= np.array([id in removed for id in salt_ids(fingerprints, salt)], dtype=bool)
    return forgotten


def _folder(project: ProjectFolder) -> Path:
    return project.data / "forgotten"
