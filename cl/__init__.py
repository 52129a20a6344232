"""Perennial: a transformer in production that keeps learning without forgetting."""

__version__ = "0.1.0"
