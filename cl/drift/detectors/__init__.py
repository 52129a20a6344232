"""Drift detectors: one file per detector, one finding per detector and drift check."""

from cl.drift.detectors._base import EXAMPLES, MAX_TEXTS, Detector, highest_ranked_ids, project_on_shift, sample_rows
from cl.models.snapshot import Snapshot

__all__ = ["EXAMPLES", "MAX_TEXTS", "Detector", "Snapshot", "highest_ranked_ids", "project_on_shift", "sample_rows"]
