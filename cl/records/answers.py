"""Written answers of challenger and champion side by side."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record

Chosen = Literal["gained most", "lost most", "drawn"]


class AnswerExample(Record):
    """What champion and challenger write to a prompt, and how each is scored."""

    chosen: Chosen = Field(description="Why it is shown")
    experience: str
    id: str
    prompt: str
    target: str
    champion: str | None = Field(default=None, description="None: there is no champion")
    champion_score: float | None = None
    challenger: str
    challenger_score: float

    @property
    def gain(self) -> float | None:
        """The challenger's score minus the champion's; None: there is no champion."""
        return None if self.champion_score is None else self.challenger_score - self.champion_score


class AnswerLengths(Record):
    """How many words the answers of one side have."""

    side: str
    mean: float
    median: float
    most_of_90: float = Field(description="Nine of ten answers have no more words")
    longest: int


class SideBySide(Record):
    """Examples of written answers, and the lengths of all of them."""

    rows: int = Field(description="Rows that were written")
    examples: list[AnswerExample]
    lengths: list[AnswerLengths]
