"""What may have changed since the champion was promoted: one file a detector, one finding each."""

from cl.drift.detectors._base import EXAMPLES, MOST_TEXTS, Detector, few, top, towards
from cl.models.snapshot import Snapshot

__all__ = ["EXAMPLES", "MOST_TEXTS", "Detector", "Snapshot", "few", "top", "towards"]
