"""What ingestion itself adds to a chunk of rows. No column of an input can have these names, for they are not texts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class InternalColumn(Enum):
    """A column of a chunk that the input does not have."""

    UNREADABLE = "an `UnreadableRow` for each row that could not be read; absent if every row could be"
    UNANSWERED = "whether no answer is logged under the id of a late label; absent from other inputs"
    UNPLACED = "whether it stays open where an answer of feedback starts in its text; absent from other inputs"
    SPLIT = "the split of each row; absent if the source does not know it"


UNREADABLE, UNANSWERED, SPLIT = InternalColumn.UNREADABLE, InternalColumn.UNANSWERED, InternalColumn.SPLIT
UNPLACED = InternalColumn.UNPLACED


@dataclass(frozen=True)
class UnreadableRow:
    """A row that could not be read: its text, or the beginning of it, and the reason for its quarantine."""

    line: str
    reason: str = "unreadable line"
