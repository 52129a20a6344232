"""What may have changed since the champion was promoted: one file a detector, one finding each.

A detector compares two snapshots of the world as the champion sees it: the reference that was stored at its
promotion, and the new experience. It decides nothing by itself: `cl.drift` corrects over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cl.plugins import Plugin
from cl.records import Finding

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Snapshot:
    """Rows as a model sees them.

    ``frame`` has one row each: ``id``, ``text``, ``label`` (text classification: the label; tokens: the
    sentence's entity types joined by a space), ``prediction``, ``confidence`` (0 to 1) and ``score`` (0 to 1: was
    the prediction right). ``embeddings`` is float32, rows by width, in the same order. ``labels`` are those of all
    rows, where the frame holds a sample of them; None where it holds them all.
    """

    frame: pd.DataFrame
    embeddings: np.ndarray
    known_labels: tuple[str, ...] = ()
    labels: pd.Series | None = None


class Detector(Plugin):
    """Base of all detectors."""

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; ``drifted`` is its own opinion at level alpha, before correction.

        Degenerate input (one row, one class, constant values) gives a finding that says that there is not enough
        data and how much is needed, never an exception.
        """
        raise NotImplementedError


def few(rows: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return at most so many rows, drawn at random, in their order."""
    import numpy as np

    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]
