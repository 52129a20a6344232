"""Ingestion: rows are read, checked, deduplicated and split; where they come from is a plug-in."""
