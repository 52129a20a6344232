"""Test whether the champion refuses to answer more or less often."""

from __future__ import annotations

from pydantic import Field, field_validator

from cl.drift.detectors._answers import AnswerDetector, answers_of
from cl.drift.detectors._base import too_few_rows
from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value

PHRASES = (
    "i cannot",
    "i can't",
    "i can not",
    "i am unable",
    "i'm unable",
    "i am not able",
    "i'm not able",
    "i won't",
    "i will not",
    "i do not know",
    "i don't know",
    "as an ai",
    "as a language model",
)
"""How refusals begin in English."""


class Refusals(AnswerDetector):
    """Fisher's exact test (Fisher, 1935), two-sided, on the share of the champion's answers that refuse.

    An answer refuses if one of the ``phrases`` stands in its first ``within`` characters, in any case and with any kind
    of apostrophe. The phrases are English: name those of your language. It needs no labels.

    >>> Refusals(phrases=("kann ich nicht",)).refuses("Das kann ich nicht sagen."), Refusals().refuses("I can’t say.")
    (True, True)
    """

    phrases: tuple[str, ...] = Field(PHRASES, min_length=1, description="Phrases by which an answer refuses")
    within: int = Field(80, ge=1, description="Characters of an answer in which a phrase must stand")
    min_rows: int = Field(20, ge=2, description="Answers required on each side")

    @field_validator("phrases")
    @classmethod
    def _check_phrases(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        if any(not phrase.strip() for phrase in phrases):
            raise ValueError("has a blank phrase, which every answer would contain; remove it")
        return phrases

    def refuses(self, answer: str) -> bool:
        """Return whether an answer refuses."""
        beginning = _simplified(answer)[: self.within]
        return any(_simplified(phrase) in beginning for phrase in self.phrases)

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding."""
        from scipy.stats import fisher_exact

        before, after = self._refused(reference), self._refused(new)
        if (has := min(len(before), len(after))) < self.min_rows:
            return too_few_rows(self.name, "predictions", needs=self.min_rows, has=has, what="written answers")
        table = [[int(side.sum()), int((~side).sum())] for side in (before, after)]
        p_value = float(fisher_exact(table).pvalue)
        return Finding(
            detector=self.name,
            kind="predictions",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=float(after.mean() - before.mean()),
            summary=f"answers that refuse: {before.mean():.1%} of {len(before)} to reference prompts, "
            f"{after.mean():.1%} of {len(after)} to new ones ({format_p_value(p_value)})",
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray | None:
        """Return 1 for each answer that refuses, and -1 for the others; the reverse if fewer do."""
        before, after = self._refused(reference), self._refused(new)
        if not len(before) or not len(after):
            return None
        return np.where(after if after.mean() >= before.mean() else ~after, 1.0, -1.0)

    def _refused(self, side: Snapshot) -> np.ndarray:
        return np.array([self.refuses(answer) for answer in answers_of(side)], dtype=bool)


def _simplified(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").split())
