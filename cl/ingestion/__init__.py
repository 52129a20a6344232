"""Ingestion: read, check, deduplicate and split rows; sources are plug-ins."""
