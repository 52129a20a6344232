"""Compression: cheaper versions derived from a version."""
