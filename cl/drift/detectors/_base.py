"""Base class and helpers of drift detectors.

A detector compares two snapshots, as the champion sees them: the reference stored at its promotion, and the new
experience. It decides nothing by itself: `cl.drift.detect` corrects over all detectors.
"""

from __future__ import annotations

from typing import ClassVar

from cl.heavy import np
from cl.models.snapshot import Snapshot
from cl.plugins import Plugin
from cl.records import Finding
from cl.statistics import Kind

EXAMPLES = 20
MAX_TEXTS = 20_000
"""Maximum number of texts per side whose words are counted for an explanation."""


class Detector(Plugin):
    """Base of all detectors; one with ``needs_labels`` cannot check unlabelled rows."""

    needs_labels: ClassVar[bool] = False

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; ``drifted`` is the detector's own verdict at level alpha, before correction.

        Degenerate input (one row, one class, constant values) never raises: the finding says that there is not enough
        data, and how much is needed.
        """
        raise NotImplementedError

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray | None:
        """Return how well each new row shows what this detector detects, best highest; None if it cannot rank rows."""
        return None

    def explain(self, finding: Finding, reference: Snapshot, new: Snapshot) -> Finding:
        """Add to an alarm what moved most and the rows that show it best, unless it already has them.

        By default: the words whose share moved most, and the rows that `shows` ranks first.
        """
        from cl.drift.text_statistics import changed_words

        texts = (side.frame["text"].astype(str).head(MAX_TEXTS) for side in (reference, new))
        ranks = None if finding.examples else self.shows(reference, new)
        return finding.model_copy(
            update={
                "moved": finding.moved or changed_words(*texts),
                "examples": finding.examples if ranks is None else highest_ranked_ids(new, ranks),
            }
        )


def highest_ranked_ids(new: Snapshot, ranks: np.ndarray) -> list[str]:
    """Return the ids of the rows that rank highest; rows that rank below zero are excluded."""
    order = np.argsort(-ranks, kind="stable")[:EXAMPLES]
    return [str(new.frame["id"].iloc[index]) for index in order if ranks[index] >= 0]


def project_on_shift(reference: Snapshot, new: Snapshot) -> np.ndarray:
    """Return how far each new row lies in the direction in which the mean embedding moved."""
    middle = (reference.embeddings.mean(axis=0) + new.embeddings.mean(axis=0)) / 2
    result: np.ndarray = (new.embeddings - middle) @ (new.embeddings.mean(axis=0) - reference.embeddings.mean(axis=0))
    return result


def sample_rows(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most ``most`` rows, drawn at random, in their original order."""
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def too_few_rows(detector: str, kind: Kind, *, needs: int, has: int, what: str = "rows") -> Finding:
    """Return the finding of a detector that does not have enough data; it says how much is needed."""
    summary = f"not enough data: needs {needs} {what}, has {has}"
    return Finding(detector=detector, kind=kind, drifted=False, summary=summary)
