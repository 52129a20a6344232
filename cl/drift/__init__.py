"""Drift detection: what has changed since the champion was promoted."""
