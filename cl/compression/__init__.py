"""Compression: derive cheaper versions from a version."""
