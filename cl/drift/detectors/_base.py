"""What may have changed since the champion was promoted: one file a detector, one finding each.

A detector compares two snapshots of the world as the champion sees it: the reference that was stored at its
promotion, and the new experience. It decides nothing by itself: `cl.drift.detect` corrects over all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cl.models.snapshot import Snapshot
from cl.plugins import Plugin
from cl.records import Finding
from cl.statistics import Kind

if TYPE_CHECKING:
    import numpy as np


EXAMPLES = 20
MOST_TEXTS = 20_000
"""Texts of each side whose words are counted for an explanation."""


class Detector(Plugin):
    """Base of all detectors; ``needs_labels`` says whether it has anything to say of rows without labels."""

    needs_labels: ClassVar[bool] = False

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; ``drifted`` is its own opinion at level alpha, before correction.

        Degenerate input (one row, one class, constant values) gives a finding that says that there is not enough
        data and how much is needed, never an exception.
        """
        raise NotImplementedError

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray | None:
        """Return how well each new row shows what this detector looks for, the best highest; None: it cannot say."""
        return None

    def explain(self, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
        """Return an alarm with what moved most and the rows that show it best, where it does not say so yet.

        As it stands: the words whose share moved most, and the rows that `shows` ranks first.
        """
        from cl.drift.text_statistics import changed_words

        texts = (one.frame["text"].astype(str).head(MOST_TEXTS) for one in (reference, new))
        ranks = None if finding.examples else self.shows(reference, new)
        return finding.model_copy(
            update={
                "moved": finding.moved or changed_words(*texts),
                "examples": finding.examples if ranks is None else top_terms(new, ranks),
            }
        )


def top_terms(new: Snapshot, ranks: np.ndarray) -> list[str]:
    """Return the ids of the rows that rank highest; rows that rank below zero show nothing."""
    import numpy as np

    order = np.argsort(-ranks, kind="stable")[:EXAMPLES]
    return [str(new.frame["id"].iloc[at]) for at in order if ranks[at] >= 0]


def towards_new(reference: Snapshot, new: Snapshot) -> np.ndarray:
    """Return how far each new row lies in the direction in which the mean of the embeddings moved."""
    middle = (reference.embeddings.mean(axis=0) + new.embeddings.mean(axis=0)) / 2
    return (new.embeddings - middle) @ (new.embeddings.mean(axis=0) - reference.embeddings.mean(axis=0))


def few_texts(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most so many rows, drawn at random, in their order."""
    import numpy as np

    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def too_few_rows(detector: str, kind: Kind, *, needs: int, has: int, what: str = "rows") -> Finding:
    """Return the finding of a detector that cannot tell: there is not enough data, and how much it needs."""
    summary = f"not enough data: needs {needs} {what}, has {has}"
    return Finding(detector=detector, kind=kind, drifted=False, summary=summary)
