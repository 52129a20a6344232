"""Drift detectors: one file per detector, one finding per detector and drift check."""

from cl.drift.detectors._base import EXAMPLES, MOST_TEXTS, Detector, few_texts, top_terms, towards_new
from cl.models.snapshot import Snapshot

__all__ = ["EXAMPLES", "MOST_TEXTS", "Detector", "Snapshot", "few_texts", "top_terms", "towards_new"]
