"""What the experiences have scored so far: the accuracy matrix R in running form, of which a version carries one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import fmean
from typing import Any

from pydantic import Field

from cl.records.record import Record

TIE = 1e-9
"""A score is lower than another one only by more than this: a sum of the same numbers may differ in its last bits."""


class PastScore(Record):
    """The scores of an experience since the update that learned it."""

    first: float = Field(description="At that update, or at the first one since that could score it")
    best: float
    last: float
    tested: int = Field(description="Number of the last update that tested it, from 1")
    falls: int = Field(default=0, description="How many of its last scores were lower than the one before, in a row")


class PastScores(Record):
    """The accuracy matrix up to an update: what its metrics need of it, without the rows themselves.

    A row of the matrix lies in the record of its cycle. The update after it needs no row, only these numbers.
    """

    updates: int = Field(default=0, description="Rows of the matrix")
    newest: str = Field(default="", description="The experience that the last of them learned last")
    falls: int = Field(
        default=0, description="How often in a row the mean over the experiences of two successive rows fell"
    )
    of: dict[str, PastScore] = Field(default_factory=dict, description="Experience -> its scores")

    def after(self, newest: str, row: Mapping[str, float]) -> PastScores:
        """Return the scores after one more update, or after a version that was made of the last one without learning.

        Args:
            newest: the experience that it learned last.
            row: experience -> its score now, without those that were not tested or that no row decides.
        """
        number, known = self._number(newest), dict(self.of)
        if newest != self.newest:
            known.pop(newest, None)  # what was scored before it was learned does not count
        for name, score in row.items():
            past = known.get(name)
            is_new = past is None or name == newest
            known[name] = PastScore(
                first=score if past is None or is_new else past.first,
                best=score if past is None or is_new else max(past.best, score),
                last=score,
                tested=number,
                falls=self._falls_on(newest, name, score),
            )
        return PastScores(updates=number, newest=newest, falls=self._falls_of_mean(newest, row), of=known)

    def describe(self, newest: str, row: Mapping[str, float]) -> dict[str, Any]:
        """Return the fields of an `Evaluation` that say how its row goes on from these scores; arguments as above."""
        falls = {name: count for name, score in row.items() if (count := self._falls_on(newest, name, score))}
        return {
            "newest": newest,
            "updates": self._number(newest),
            "falls": falls,
            "falls_of_mean": self._falls_of_mean(newest, row),
        }

    def _number(self, newest: str) -> int:
        return self.updates + (newest != self.newest)

    def _falls_on(self, newest: str, name: str, score: float) -> int:
        past = self.of.get(name)
        if past is None or name == newest:
            return 0
        return self._count_falls(newest, past.falls, score - past.last)

    def _falls_of_mean(self, newest: str, row: Mapping[str, float]) -> int:
        past = {name: self.of[name].last for name in row if name in self.of and self.of[name].tested == self.updates}
        return self._count_falls(newest, self.falls, fmean(row[name] - past[name] for name in past)) if past else 0

    def _count_falls(self, newest: str, before: int, change: float) -> int:
        """Return how many falls there are in a row; a version that learned nothing goes on with those before."""
        if change < -TIE:
            return before + 1
        return before if newest == self.newest and change <= TIE else 0

    def forgetting(self, newest: str, row: Mapping[str, float], champion: Mapping[str, float]) -> dict[str, float]:
        """Return, for each past experience in a row, its best score since it was learned minus its score now.

        Chaudhry et al., 2018, equation 3, takes the best over all earlier updates; ours starts at the update that
        learned the experience: what was never learned cannot be forgotten.

        Args:
            newest: the experience learned last, which cannot be forgotten yet.
            row: experience -> its score now.
            champion: the champion's scores, which count as past scores too: it may know an experience that it was never
                trained on.
        """
        known = champion if self._number(newest) > 1 else {}
        lost = {}
        for name, score in row.items():
            past = [self.of[name].best] if name in self.of else []
            past += [known[name]] if name in known else []
            if name != newest and past:
                lost[name] = max(past) - score
        return lost

    def backward_transfer(self, newest: str, row: Mapping[str, float]) -> float | None:
        """Return BWT: the mean change of each past experience since it was learned; None: there is none.

        Lopez-Paz and Ranzato, 2017, equation 3.
        """
        changes = [score - self.of[name].first for name, score in row.items() if name != newest and name in self.of]
        return fmean(changes) if changes else None

    def without(self, experiences: Collection[str]) -> PastScores:
        """Return the scores of all other experiences."""
        kept = {name: score for name, score in self.of.items() if name not in experiences}
        return self.model_copy(update={"of": kept})


def from_matrix(matrix: Mapping[str, Mapping[str, float]]) -> PastScores:
    """Return the running form of a matrix: experience learned -> experience tested -> score."""
    scores = PastScores()
    for newest, row in matrix.items():
        scores = scores.after(newest, row)
    return scores
