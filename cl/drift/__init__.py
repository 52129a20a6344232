"""Drift detection: compare new rows with the reference stored at the champion's promotion."""
