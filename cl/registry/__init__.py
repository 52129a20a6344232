"""Versions in the registry: registration, smoke test, lineage, export, reproduction and garbage collection."""
