"""Rows that are left out because an earlier experience has their text and label under another id."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from cl.ingestion.deduplicate import RowOutcome
from cl.stores.data.fingerprints import Fingerprints, KnownRows, is_known
from cl.stores.data.staging import Staged

MOST = 10_000
"""Rows of an input that are named; the others are counted."""


@dataclass(frozen=True)
class SeenText:
    """A row that is left out, by its id, and the experience that has its text and label."""

    id: str
    experience: str


class LeftOut(Counter[str]):
    """Rows that are left out without being set aside, counted by why; ``texts`` names those with a new id."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[SeenText] = []


def find_seen_texts(staged: Staged, prints: Fingerprints, outcomes: np.ndarray, known: KnownRows) -> list[SeenText]:
    """Return the rows that are left out as seen before although their id is new, with the experience that has them.

    A row with an id that the stream has is one that is read again: nobody wonders about it.

    Args:
        staged: the rows.
        prints: their hashes.
        outcomes: the `RowOutcome` of each.
        known: the rows of all earlier experiences.
    """
    seen = np.flatnonzero(outcomes == RowOutcome.SEEN)
    rows = seen[~is_known(prints.ids[seen], known.ids)][:MOST] if len(seen) else seen
    if not len(rows):
        return []
    holders = np.full(len(rows), -1)
    for number, contents in enumerate(known.contents):
        holders[(holders < 0) & np.isin(prints.contents[rows], contents)] = number
    ids: list[str] = []
    for chunk, places in zip(staged.good(), staged.places(), strict=True):
        own = rows[(rows >= places.start) & (rows < places.stop)] - places.start
        ids += chunk["id"].take(own).to_pylist() if len(own) else []
    return [SeenText(id, known.experiences[holder]) for id, holder in zip(ids, holders, strict=True)]
