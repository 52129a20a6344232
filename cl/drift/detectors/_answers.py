"""Base of the detectors that compare what a language model writes."""

from __future__ import annotations

from typing import ClassVar

from cl.drift.detectors import Detector
from cl.drift.detectors._base import MAX_TEXTS, highest_ranked_ids
from cl.heavy import pd
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import Finding


class AnswerDetector(Detector):
    """Base of the detectors of written answers; an alarm names the words of the answers that moved most."""

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.WRITING})

    def explain(self, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
        """Add to an alarm the words of the answers whose share moved most, and the rows that `shows` ranks first."""
        from cl.drift.text_statistics import changed_words

        ranks = self.shows(reference, new)
        return finding.model_copy(
            update={
                "moved": changed_words(*(answers_of(side).head(MAX_TEXTS) for side in (reference, new))),
                "examples": finding.examples if ranks is None else highest_ranked_ids(new, ranks),
            }
        )


def answers_of(side: Snapshot) -> pd.Series:
    """Return what was written; empty where a version was promoted before its answers were kept, or nothing is."""
    return side.frame["answer"].astype(str) if "answer" in side.frame else pd.Series([], dtype=object)
